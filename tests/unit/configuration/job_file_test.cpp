// Job files: what a good one comes to, and every message that a bad one can provoke.
#include "daemon/configuration/job_file.hpp"

#include "tests/unit/configuration/temporary_folder.hpp"

#include "proto/job.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

using namespace longhaul;
using namespace longhaul::daemon;
using longhaul::tests::TemporaryFolder;

namespace {

constexpr const char* kModel = "model: {config: gpt2/config.json}\n";
constexpr const char* kData =
    "data: {train: ['text/*.txt'], tokenizer: gpt2/, sequence_length: 8, holdout: 0.1}\n";
constexpr const char* kTraining = "training: {steps: 10, batch: 8}\n";

struct Folder : TemporaryFolder {
  Folder() {
    write("gpt2/config.json", "{}");
    write("gpt2/vocab.json", "{}");
    write("gpt2/merges.txt", "");
    write("text/b.txt", "b");
    write("text/a.txt", "a");
    write("text/notes.md", "no");
    write("tokens.bin", "1234");
  }

  Checked<wire::Job> load(const std::string& yaml) const {
    return load_job(write("job.yaml", yaml));
  }

  // The messages for a file, with "job.yaml:" left out.
  std::string errors(const std::string& yaml) const {
    const auto job = load(yaml);
    if (job) return "no error";
    std::string text;
    for (Diagnostic diagnostic : job.error().items) {
      CHECK(diagnostic.file == (path() / "job.yaml").string());
      diagnostic.file.clear();
      if (!text.empty()) text += '\n';
      text += to_string(diagnostic).substr(1);
    }
    return shorten(text);
  }
  // The same for a good file with other training settings, from line 3 on.
  std::string training_errors(const std::string& settings) const {
    return errors(std::string(kModel) + kData + "training:\n  steps: 10\n  batch: 8\n" + settings);
  }
};

}  // namespace

TEST_CASE("job: everything that a job file can say arrives") {
  const Folder folder;
  const auto loaded = folder.load(R"(name: full
model: {from: gpt2}
data:
  train: [text/*.txt, tokens.bin, text/a.txt]
  text_field: body
  tokenizer: gpt2/
  token_bits: 32
  sequence_length: 16
  holdout: 0.02
  cache: /var/cache/x
  nodes: [b, a]
training:
  steps: 300
  batch: 32
  micro_batch: 4
  optimizer:
    {name: adamw, learning_rate: 6.0e-4, weight_decay: 1e-1, betas: [0.9, .95], epsilon: 1.0e-8}
  schedule: {warmup_steps: 30, decay: constant, final: 0.5}
  clip_norm: 0
  dropout: 0
  precision: bf16
  seed: 18446744073709551615
pipeline: {schedule: gpipe}
compression: dense
evaluation: {every: 50, sequences: 7}
checkpoint: {every: 50, directory: ../out, keep: 3}
export: ./model/
)");
  REQUIRE(loaded.has_value());
  const wire::Job& job = *loaded;
  const std::string root = folder.path().string();
  CHECK(job.name() == "full");
  CHECK(job.model().from() == root + "/gpt2");
  REQUIRE(job.data().train_size() == 3);
  CHECK(job.data().train(0) == root + "/text/a.txt");
  CHECK(job.data().train(1) == root + "/text/b.txt");
  CHECK(job.data().train(2) == root + "/tokens.bin");
  CHECK(job.data().text_field() == "body");
  CHECK(job.data().tokenizer() == root + "/gpt2");
  CHECK(job.data().token_bits() == 32);
  CHECK(job.data().sequence_length() == 16);
  CHECK(job.data().holdout() == 0.02);
  CHECK(job.data().cache() == "/var/cache/x");
  REQUIRE(job.data().nodes_size() == 2);
  CHECK(job.data().nodes(0) == "b");
  const wire::Training& training = job.training();
  CHECK(training.steps() == 300);
  CHECK(training.batch() == 32);
  CHECK(training.micro_batch() == 4);
  CHECK(training.optimizer().name() == "adamw");
  CHECK(training.optimizer().learning_rate() == 6.0e-4);
  CHECK(training.optimizer().weight_decay() == 0.1);
  CHECK(training.optimizer().beta1() == 0.9);
  CHECK(training.optimizer().beta2() == 0.95);
  CHECK(training.optimizer().epsilon() == 1.0e-8);
  CHECK(training.schedule().warmup_steps() == 30);
  CHECK(training.schedule().decay() == "constant");
  CHECK(training.schedule().final() == 0.5);
  CHECK(training.clip_norm() == 0.0);
  CHECK(training.has_dropout());
  CHECK(training.dropout() == 0.0);
  CHECK(training.precision() == "bf16");
  CHECK(training.seed() == 18446744073709551615u);
  CHECK(job.pipeline().schedule() == "gpipe");
  CHECK(job.compression() == "dense");
  CHECK(job.evaluation().every() == 50);
  CHECK(job.evaluation().sequences() == 7);
  CHECK(job.checkpoint().every() == 50);
  CHECK(job.checkpoint().directory() == folder.path().parent_path().string() + "/out");
  CHECK(job.checkpoint().keep() == 3);
  CHECK(job.export_directory() == root + "/model");
  CHECK(job.resume().empty());
}

TEST_CASE("job: what a job file leaves out has its documented default") {
  const Folder folder;
  const auto loaded = folder.load(std::string(kModel) + kData + kTraining);
  REQUIRE(loaded.has_value());
  const std::string root = folder.path().string();
  CHECK(loaded->name() == "job");  // the file's
  CHECK(loaded->data().text_field() == "text");
  CHECK(loaded->data().token_bits() == 16);
  CHECK(loaded->data().cache() == root + "/.longhaul/cache");
  CHECK(loaded->data().nodes().empty());
  CHECK(loaded->training().micro_batch() == 8);
  CHECK(loaded->training().optimizer().name() == "adamw");
  CHECK(loaded->training().optimizer().learning_rate() == 6.0e-4);
  CHECK(loaded->training().optimizer().weight_decay() == 0.1);
  CHECK(loaded->training().optimizer().beta2() == 0.95);
  CHECK(loaded->training().schedule().warmup_steps() == 0);
  CHECK(loaded->training().schedule().decay() == "cosine");
  CHECK(loaded->training().schedule().final() == 0.1);
  CHECK(loaded->training().clip_norm() == 1.0);
  CHECK_FALSE(loaded->training().has_dropout());
  CHECK(loaded->training().precision() == "fp32");
  CHECK(loaded->training().seed() == 1);
  CHECK(loaded->pipeline().schedule() == "1f1b");
  CHECK(loaded->compression() == "dense");
  CHECK(loaded->evaluation().every() == 0);
  CHECK(loaded->checkpoint().every() == 0);
  CHECK(loaded->checkpoint().directory() == root + "/checkpoints/job");
  CHECK(loaded->checkpoint().keep() == 2);
  CHECK(loaded->export_directory().empty());
  CHECK(proto::validate_job(*loaded).has_value());
}

TEST_CASE("job: a tokenizer is needed for text, not for tokens") {
  const Folder folder;
  const std::string head = std::string(kModel) + kTraining;
  CHECK(folder.errors(head + "data: {train: tokens.bin, sequence_length: 8}\n") == "no error");
  CHECK(folder.errors(head + "data: {train: [tokens.bin, text/a.txt], sequence_length: 8}\n") ==
        "3:1: missing key 'data.tokenizer': $/text/a.txt is text");
  folder.write("empty/x", "");
  CHECK(folder.errors(head + "data: {train: text/a.txt, sequence_length: 8, tokenizer: empty}\n") ==
        "3:58: $/empty has neither tokenizer.json nor vocab.json and merges.txt");
}

TEST_CASE("job: a model's own tokenizer is taken where the file names none") {
  const Folder folder;
  const auto loaded =
      folder.load("model: {from: gpt2}\ndata: {train: text/a.txt, sequence_length: 8}\n" +
                  std::string(kTraining));
  REQUIRE(loaded.has_value());
  CHECK(loaded->data().tokenizer() == folder.path().string() + "/gpt2");
}

TEST_CASE("job: wildcards in the folder's own name are no wildcards") {
  const TemporaryFolder folder;
  folder.write("a[b]*/t/1.bin", "1234");
  folder.write("ab/t/2.bin", "1234");
  folder.write("a[b]*/config.json", "{}");
  const auto loaded =
      load_job(folder.write("a[b]*/job.yaml",
                            "model: {config: config.json}\n"
                            "data: {train: ['t/../t/*.bin', './t/?.bin'], sequence_length: 8}\n" +
                                std::string(kTraining)));
  REQUIRE(loaded.has_value());
  REQUIRE(loaded->data().train_size() == 1);
  CHECK(loaded->data().train(0) == folder.path().string() + "/a[b]*/t/1.bin");
}

TEST_CASE("job: all errors of a file come at once, sorted") {
  const Folder folder;
  CHECK(folder.errors(R"(modle: {config: x}
data: {train: [text/*.txt, none/*.txt], tokenizer: gpt2/, sequence_length: 0}
evaluation: {colour: red}
training:
  steps: many
  batch: 8
  batch: 9
  learning_rate: 1
)") == R"(1:1: missing key 'model': what is trained
1:1: unknown key 'modle'; did you mean 'model'?
2:28: no file matches $/none/*.txt
2:76: data.sequence_length must be an integer from 1 to 16777216, not '0'
3:14: unknown key 'colour'; known here: every, sequences
5:10: training.steps must be an integer from 1 to 1000000000000, not 'many'
7:3: duplicate key 'batch'; it stands in line 6 already
8:3: unknown key 'learning_rate'; it belongs into 'training.optimizer')");
}

TEST_CASE("job: a value of another type is named as what it is") {
  const Folder folder;
  CHECK(folder.training_errors("  seed: [1]\n") ==
        "6:9: training.seed must be an integer, at least 0, not a list");
  CHECK(folder.training_errors("  seed: {a: 1}\n") ==
        "6:9: training.seed must be an integer, at least 0, not a mapping");
  CHECK(folder.training_errors("  seed:\n") ==
        "6:3: training.seed must be an integer, at least 0, not empty");
  CHECK(folder.training_errors("  seed: '1'\n") ==
        "6:9: training.seed must be an integer, at least 0, not the text '1'");
  CHECK(folder.training_errors("  seed: 1.5\n") ==
        "6:9: training.seed must be an integer, at least 0, not '1.5'");
  CHECK(folder.training_errors("  seed: -1\n") ==
        "6:9: training.seed must be an integer, at least 0, not '-1'");
  CHECK(folder.training_errors("  seed: 18446744073709551616\n")
            .ends_with("not '18446744073709551616'"));
  CHECK(folder.training_errors("  optimizer: adamw\n") ==
        "6:14: training.optimizer must be a mapping, not 'adamw'");
  CHECK(folder.training_errors("  precision: [fp32]\n") ==
        "6:14: training.precision must be one of fp32, bf16, not a list");
  CHECK(folder.errors("just text\n") ==
        "1:1: the file must be a mapping of keys to values, not 'just text'");
}

TEST_CASE("job: a number out of range is told the range") {
  const Folder folder;
  CHECK(folder.training_errors("  dropout: 1\n") ==
        "6:12: training.dropout must be a number, at least 0 and less than 1, not '1'");
  CHECK(folder.training_errors("  clip_norm: -0.5\n") ==
        "6:14: training.clip_norm must be a number, at least 0, not '-0.5'");
  CHECK(folder.training_errors("  clip_norm: .inf\n").ends_with("not '.inf'"));
  CHECK(folder.training_errors("  clip_norm: nan\n").ends_with("not 'nan'"));
  CHECK(folder.training_errors("  clip_norm: inf\n").ends_with("not 'inf'"));
  CHECK(folder.training_errors("  optimizer: {learning_rate: 0}\n") ==
        "6:30: training.optimizer.learning_rate must be a number, more than 0, not '0'");
  CHECK(folder.training_errors("  optimizer: {betas: [0.9]}\n") ==
        "6:22: training.optimizer.betas must have 2 items, not 1");
  CHECK(folder.training_errors("  optimizer: {betas: [0.9, 2]}\n") ==
        "6:28: training.optimizer.betas[1] must be a number, at least 0 and less than 1, not '2'");
  CHECK(folder.training_errors("  optimizer: {betas: 0.9}\n") ==
        "6:22: training.optimizer.betas must be two numbers, not '0.9'");
  CHECK(folder.training_errors("  precision: fp16\n") ==
        "6:14: training.precision must be one of fp32, bf16, not 'fp16'");
  CHECK(folder.training_errors("pipeline: {schedule: zero}\n") ==
        "6:22: pipeline.schedule must be one of 1f1b, gpipe, zero-bubble, not 'zero'");
  CHECK(folder.training_errors("pipeline: {schedule: zero-bubble}\n") == "no error");
  CHECK(folder.training_errors("  optimizer: {name: sgd}\n") ==
        "6:21: training.optimizer.name must be adamw, not 'sgd'");
}

TEST_CASE("job: what must hold between keys points at one of them") {
  const Folder folder;
  CHECK(folder.training_errors("  micro_batch: 3\n") ==
        "6:16: training.micro_batch must divide training.batch, but 3 does not divide 8");
  CHECK(folder.training_errors("  schedule: {warmup_steps: 11}\n") ==
        "6:28: training.schedule.warmup_steps must be at most training.steps, 10, not 11");
  CHECK(folder.errors(std::string(kModel) + kData +
                      "training: {steps: 1, batch: 1048576, micro_batch: 1}\n") ==
        "3:51: training.batch makes 1048576 micro-batches, more than 65536; raise "
        "training.micro_batch");
  const std::string no_holdout =
      std::string(kModel) + kTraining +
      "data: {train: text/a.txt, tokenizer: gpt2, sequence_length: 8}\nevaluation: {every: 5}\n";
  CHECK(folder.errors(no_holdout) ==
        "4:21: evaluation.every needs held-out sequences; set data.holdout");
  CHECK(folder.errors(
            std::string(kModel) + kTraining +
            "data: {train: text/a.txt, tokenizer: gpt2, sequence_length: 8, nodes: [a, a]}\n") ==
        "3:75: data.nodes names 'a' twice");
}

TEST_CASE("job: pins that contradict each other or an exclusion are told where they stand") {
  const Folder folder;
  const std::string rest = std::string(kModel) + kData + kTraining;
  const auto lines = std::to_string(1 + std::count(rest.begin(), rest.end(), '\n'));
  CHECK(folder.errors(rest + "placement: {pin: [wte=a, wte=b]}\n") ==
        lines +
            ":26: placement.pin[1] pins operator 'wte' to 'b', and it is pinned to 'a' already; "
            "pin it to one node");
  CHECK(folder.errors(rest + "placement: {exclude: [a], pin: [wte=a]}\n") ==
        lines +
            ":33: placement.pin[0] pins operator 'wte' to 'a', which placement.exclude excludes");
  CHECK(folder.errors(rest + "placement: {pin: [wte]}\n").find("must be OPERATOR=NODE") !=
        std::string::npos);
}

TEST_CASE("job: the model has exactly one source, which is there") {
  const Folder folder;
  const std::string rest = std::string(kData) + kTraining;
  const std::string_view exactly = "1:1: model must have exactly one of config, from and graph";
  CHECK(folder.errors("model: {}\n" + rest) == exactly);
  CHECK(folder.errors("model:\n" + rest) == exactly);
  CHECK(folder.errors("model: {config: gpt2/config.json, graph: gpt2/config.json}\n" + rest) ==
        exactly);
  CHECK(folder.errors("model: {config: no.json}\n" + rest) == "1:17: $/no.json does not exist");
  CHECK(folder.errors("model: {config: gpt2}\n" + rest) == "1:17: $/gpt2 is a folder, not a file");
  CHECK(folder.errors("model: {from: tokens.bin}\n" + rest) ==
        "1:15: $/tokens.bin is not a folder");
  CHECK(folder.errors("model: {from: text}\n" + rest) == "1:15: $/text has no config.json");
  CHECK(folder.errors("model: {config: ''}\n" + rest) ==
        "1:17: model.config must be the path of a file, not the text ''");
}

TEST_CASE("job: training files are there and of a known kind") {
  const Folder folder;
  const std::string head = std::string(kModel) + kTraining;
  const auto errors = [&](const std::string& train) {
    return folder.errors(head + "data: {tokenizer: gpt2, sequence_length: 8, train: " + train +
                         "}\n");
  };
  CHECK(errors("[text/*.txt]") == "no error");
  CHECK(errors("'text/[ab].txt'") == "no error");
  CHECK(errors("[text/c.txt]") == "3:53: $/text/c.txt does not exist");
  CHECK(errors("[text/*.doc]") == "3:53: no file matches $/text/*.doc");
  CHECK(errors("[text/*]") == "3:53: $/text/notes.md does not end in one of .txt, .jsonl, .bin");
  CHECK(errors("[text]") == "3:53: $/text is a folder, not a file");
  CHECK(errors("[]") == "3:52: data.train must have 1 to 10000 items, not 0");
  CHECK(errors("[[text]]") == "3:53: data.train[0] must be a path, not a list");
  CHECK(errors("{a: 1}") == "3:52: data.train must be a list of paths, not a mapping");
  if (geteuid() != 0) {
    std::filesystem::permissions(folder.path() / "text/a.txt", std::filesystem::perms::none);
    CHECK(errors("text/a.txt") == "3:52: $/text/a.txt cannot be read: permission denied");
  }
}

TEST_CASE("job: names are names") {
  const Folder folder;
  const std::string rest = std::string(kModel) + kData + kTraining;
  const std::string_view expected =
      "1:7: name must be a name of at most 128 letters, digits, '.', '_' and '-', not ";
  CHECK(folder.errors("name: ../x\n" + rest) == std::string(expected) + "'../x'");
  CHECK(folder.errors("name: .x\n" + rest) == std::string(expected) + "'.x'");
  CHECK(folder.errors("name: \"a\\nb\"\n" + rest) == std::string(expected) + "the text 'a\\x0ab'");
  CHECK(folder.errors("name: 7\n" + rest) == "no error");
}

TEST_CASE("job: a path may begin at home") {
  const Folder folder;
  const char* old = std::getenv("HOME");
  const std::string before = old == nullptr ? "" : old;
  setenv("HOME", folder.path().c_str(), 1);
  const auto loaded =
      folder.load("model: {config: ~/gpt2/config.json}\n" + std::string(kData) + kTraining);
  setenv("HOME", before.c_str(), 1);
  REQUIRE(loaded.has_value());
  CHECK(loaded->model().config() == folder.path().string() + "/gpt2/config.json");
}

TEST_CASE("job: a file that cannot be read says why") {
  const TemporaryFolder folder;
  const auto error = [&](const char* name) {
    const auto job = load_job(folder.path() / name);
    return job ? "no error" : folder.shorten(to_string(job.error()));
  };
  CHECK(error("none.yaml") == "$/none.yaml: cannot be read: No such file or directory");
  CHECK(error(".") == "$/.: is a folder, not a file");
  folder.write("large.yaml", std::string((1u << 20) + 1, '#'));
  CHECK(error("large.yaml") ==
        "$/large.yaml: larger than the 1048576 bytes that such a file may have");
}

TEST_CASE("job: a file full of errors does not flood the terminal") {
  const Folder folder;
  std::string yaml;
  for (int i = 0; i < 1000; ++i) yaml += fmt::format("k{}: 1\n", i);
  const auto job = folder.load(yaml);
  REQUIRE_FALSE(job.has_value());
  CHECK(job.error().items.size() == 101);
  CHECK(job.error().items.back().message == "and 903 more errors behind this place");
}
