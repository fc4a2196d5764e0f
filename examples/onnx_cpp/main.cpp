// SER and RE of one page with the ONNX files of a bundle, without Python. See README.md beside this file.
//
//     kie_onnx BUNDLE/onnx INPUTS OUTPUTS
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "npy.hpp"

namespace fs = std::filesystem;

template <typename T>
Ort::Value tensor(std::vector<T>& values, const std::vector<int64_t>& shape) {
    static const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    return Ort::Value::CreateTensor<T>(memory, values.data(), values.size(), shape.data(), shape.size());
}

template <typename T>
void require_shape(const Array<T>& array, const std::vector<int64_t>& shape, const std::string& name) {
    if (array.shape != shape) throw std::runtime_error(name + ".npy does not fit the other files");
}

Array<float> copied(const Ort::Value& value) {
    Array<float> array(value.GetTensorTypeAndShapeInfo().GetShape());
    std::copy_n(value.GetTensorData<float>(), array.values.size(), array.values.begin());
    return array;
}

// One ONNX file: inputs by name in, the wanted outputs out.
class Graph {
public:
    Graph(const Ort::Env& env, const fs::path& file) : session_(env, file.c_str(), options()) {
        Ort::AllocatorWithDefaultOptions allocator;
        for (size_t i = 0; i < session_.GetInputCount(); ++i)
            inputs_.emplace_back(session_.GetInputNameAllocated(i, allocator).get());
        for (size_t i = 0; i < session_.GetOutputCount(); ++i)
            outputs_.emplace_back(session_.GetOutputNameAllocated(i, allocator).get());
    }

    bool takes(const std::string& name) const { return std::count(inputs_.begin(), inputs_.end(), name) > 0; }
    bool gives(const std::string& name) const { return std::count(outputs_.begin(), outputs_.end(), name) > 0; }

    // Size of one dimension of an input; -1 where any size will do.
    int64_t size(const std::string& name, size_t dimension) const {
        const auto place = std::find(inputs_.begin(), inputs_.end(), name) - inputs_.begin();
        return session_.GetInputTypeInfo(place).GetTensorTypeAndShapeInfo().GetShape().at(dimension);
    }

    std::vector<Ort::Value> run(const std::vector<const char*>& names, const std::vector<Ort::Value>& values,
                                const std::vector<const char*>& wanted) {
        return session_.Run(Ort::RunOptions{nullptr}, names.data(), values.data(), values.size(), wanted.data(),
                            wanted.size());
    }

private:
    static Ort::SessionOptions options() {
        Ort::SessionOptions options;
        options.SetInterOpNumThreads(1);
        return options;
    }

    Ort::Session session_;
    std::vector<std::string> inputs_, outputs_;
};

// The windows of one page: rows of W x T tokens, padded on the right.
struct Windows {
    Array<int64_t> ids, boxes, mask;

    explicit Windows(const fs::path& folder)
        : ids(npy::read<int64_t>(folder / "input_ids.npy", 2)),
          boxes(npy::read<int64_t>(folder / "bbox.npy", 3)),
          mask(npy::read<int64_t>(folder / "attention_mask.npy", 2)) {
        require_shape(boxes, {count(), width(), 4}, "bbox");
        require_shape(mask, {count(), width()}, "attention_mask");
    }

    int64_t count() const { return ids.shape[0]; }
    int64_t width() const { return ids.shape[1]; }
    int64_t length(int64_t window) const {
        const auto row = mask.values.begin() + window * width();
        return std::count(row, row + width(), 1);
    }
};

// `logits` [W, T, labels] (empty without SER head) and `hidden` [W, T, H] of the windows; 0 in padding.
struct Encoded {
    Array<float> logits, hidden;
};

void place(Array<float>& all, const Array<float>& one, int64_t window, int64_t windows, int64_t width) {
    const int64_t size = one.shape[2];
    if (all.values.empty()) all = Array<float>({windows, width, size});
    std::copy(one.values.begin(), one.values.end(), all.values.begin() + window * width * size);
}

// Window by window without padding: so int8 files, whose scales follow from all values of a tensor, answer the same
// whatever other windows the page has.
Encoded encode(Graph& encoder, Windows& windows, std::optional<Array<float>>& features) {
    Encoded result;
    const bool ser = encoder.gives("logits");
    const std::vector<const char*> wanted = ser ? std::vector<const char*>{"hidden", "logits"}
                                                : std::vector<const char*>{"hidden"};
    for (int64_t window = 0; window < windows.count(); ++window) {
        const int64_t length = windows.length(window), first = window * windows.width();
        std::vector<int64_t> ids(windows.ids.values.begin() + first, windows.ids.values.begin() + first + length);
        std::vector<int64_t> boxes(windows.boxes.values.begin() + 4 * first,
                                   windows.boxes.values.begin() + 4 * (first + length));
        std::vector<int64_t> mask(length, 1);
        std::vector<const char*> names = {"input_ids", "bbox", "attention_mask"};
        std::vector<Ort::Value> given;
        given.push_back(tensor(ids, {1, length}));
        given.push_back(tensor(boxes, {1, length, 4}));
        given.push_back(tensor(mask, {1, length}));
        if (features) {
            names.push_back("image_features");
            given.push_back(tensor(features->values, features->shape));
        }
        const auto found = encoder.run(names, given, wanted);
        place(result.hidden, copied(found[0]), window, windows.count(), windows.width());
        if (ser) place(result.logits, copied(found[1]), window, windows.count(), windows.width());
    }
    return result;
}

std::optional<Array<float>> image_features(const Ort::Env& env, const fs::path& file, const fs::path& inputs) {
    auto image = npy::read<float>(inputs / "image.npy", 4);
    std::vector<Ort::Value> given;
    given.push_back(tensor(image.values, image.shape));
    return copied(Graph(env, file).run({"image"}, given, {"image_features"})[0]);
}

// States of the entities, [E, H]: the mean over the windows that hold an entity's first token.
Array<float> entity_states(const Array<float>& hidden, const Array<int64_t>& occurrences, int64_t entities) {
    const int64_t width = hidden.shape[1], size = hidden.shape[2];
    require_shape(occurrences, {occurrences.shape[0], 3}, "occurrences");
    Array<float> states({entities, size});
    std::vector<int> seen(entities, 0);
    for (size_t row = 0; row < occurrences.values.size(); row += 3) {
        const int64_t entity = occurrences.values[row], window = occurrences.values[row + 1],
                      token = occurrences.values[row + 2];
        if (entity < 0 || entity >= entities || window < 0 || window >= hidden.shape[0] || token < 0 || token >= width)
            throw std::runtime_error("row " + std::to_string(row / 3) + " of occurrences.npy names nothing on the page");
        for (int64_t i = 0; i < size; ++i)
            states.values[entity * size + i] += hidden.values[(window * width + token) * size + i];
        ++seen[entity];
    }
    for (int64_t entity = 0; entity < entities; ++entity) {
        if (!seen[entity]) throw std::runtime_error("entity " + std::to_string(entity) + " is in no window");
        for (int64_t i = 0; i < size; ++i) states.values[entity * size + i] /= static_cast<float>(seen[entity]);
    }
    return states;
}

// Logits [P, 2] and scores [P] of the pairs. The graph's numbers of entities N and pairs M are fixed: the page's
// entities are filled up with zeros, its pairs go in parts of M, each a row of the batch.
std::pair<Array<float>, Array<float>> relate(Graph& head, Array<float> states, const fs::path& inputs) {
    const auto labels = npy::read<int64_t>(inputs / "entity_labels.npy", 1);
    const auto pairs = npy::read<int64_t>(inputs / "pairs.npy", 2);
    const int64_t count = pairs.shape[0], entities = labels.shape[0], size = states.shape[1];
    const int64_t places = head.size("entity_tokens", 1), at_once = head.size("pairs", 1);
    require_shape(pairs, {count, 2}, "pairs");
    for (int64_t entity : pairs.values)
        if (entity < 0 || entity >= entities) throw std::runtime_error("pairs.npy names an entity that is not there");
    if (entities > places)
        throw std::runtime_error("the page has " + std::to_string(entities) + " entities, re.onnx takes " +
                                 std::to_string(places) + ": export with --entities " + std::to_string(entities));
    std::pair<Array<float>, Array<float>> result(Array<float>({count, 2}), Array<float>({count}));
    std::vector<int64_t> rows(places, 0), kinds(places, 0), order(places, 0);
    std::vector<float> boxes(4 * places, 0.0F);
    for (int64_t entity = 0; entity < entities; ++entity) rows[entity] = entity;
    std::copy(labels.values.begin(), labels.values.end(), kinds.begin());
    if (head.takes("entity_boxes")) {
        const auto given_boxes = npy::read<float>(inputs / "entity_boxes.npy", 2);
        const auto given_order = npy::read<int64_t>(inputs / "entity_order.npy", 1);
        require_shape(given_boxes, {entities, 4}, "entity_boxes");
        require_shape(given_order, {entities}, "entity_order");
        std::copy(given_boxes.values.begin(), given_boxes.values.end(), boxes.begin());
        std::copy(given_order.values.begin(), given_order.values.end(), order.begin());
    }
    for (int64_t start = 0; start < count; start += at_once) {
        std::vector<int64_t> part(2 * at_once, 0), meant = {std::min(at_once, count - start)};
        std::copy_n(pairs.values.begin() + 2 * start, 2 * meant[0], part.begin());
        std::vector<const char*> names = {"hidden", "entity_tokens", "entity_labels", "pairs", "pair_count"};
        std::vector<Ort::Value> given;
        given.push_back(tensor(states.values, {1, entities, size}));
        given.push_back(tensor(rows, {1, places}));
        given.push_back(tensor(kinds, {1, places}));
        given.push_back(tensor(part, {1, at_once, 2}));
        given.push_back(tensor(meant, {1}));
        if (head.takes("entity_boxes")) {
            names.insert(names.end(), {"entity_boxes", "entity_order"});
            given.push_back(tensor(boxes, {1, places, 4}));
            given.push_back(tensor(order, {1, places}));
        }
        const auto found = head.run(names, given, {"logits", "scores"});
        std::copy_n(found[0].GetTensorData<float>(), 2 * meant[0], result.first.values.begin() + 2 * start);
        std::copy_n(found[1].GetTensorData<float>(), meant[0], result.second.values.begin() + start);
    }
    return result;
}

// An encoder's file over all windows, and the image branch before it where it asks for one.
Encoded run_encoder(const Ort::Env& env, const fs::path& encoder, const fs::path& image, const fs::path& inputs) {
    Windows windows(inputs);
    Graph graph(env, encoder);
    std::optional<Array<float>> features;
    if (graph.takes("image_features")) features = image_features(env, image, inputs);
    return encode(graph, windows, features);
}

int main(int count, char** arguments) {
    if (count != 4) {
        std::cerr << "usage: kie_onnx BUNDLE/onnx INPUTS OUTPUTS\n";
        return 2;
    }
    const fs::path onnx = arguments[1], inputs = arguments[2], outputs = arguments[3];
    try {
        const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "kie_onnx");
        fs::create_directories(outputs);
        Encoded encoded;
        if (fs::exists(onnx / "ser.onnx")) {
            encoded = run_encoder(env, onnx / "ser.onnx", onnx / "image.onnx", inputs);
            npy::write(outputs / "ser_logits.npy", encoded.logits);
        }
        if (fs::exists(onnx / "re_encoder.onnx"))  // RE has an encoder of its own
            encoded = run_encoder(env, onnx / "re_encoder.onnx", onnx / "re_image.onnx", inputs);
        if (fs::exists(onnx / "re.onnx")) {
            const auto occurrences = npy::read<int64_t>(inputs / "occurrences.npy", 2);
            const int64_t entities = npy::read<int64_t>(inputs / "entity_labels.npy", 1).shape[0];
            Graph head(env, onnx / "re.onnx");
            const auto [logits, scores] = relate(head, entity_states(encoded.hidden, occurrences, entities), inputs);
            npy::write(outputs / "re_logits.npy", logits);
            npy::write(outputs / "re_scores.npy", scores);
        }
    } catch (const std::exception& error) {
        std::cerr << "kie_onnx: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
