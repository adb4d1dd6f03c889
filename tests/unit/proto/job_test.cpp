// Claims about which jobs from a peer are accepted.
#include "proto/job.hpp"

#include "proto/pipeline_schedule.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace longhaul::proto {
namespace {

wire::Job good_job() {
  wire::Job job;
  job.set_name("sotu");
  job.mutable_model()->set_config("/models/gpt2/config.json");
  job.mutable_data()->add_train("/text/a.txt");
  job.mutable_data()->set_tokenizer("/models/gpt2");
  job.mutable_data()->set_sequence_length(256);
  job.mutable_data()->set_holdout(0.02);
  job.mutable_data()->set_cache("/cache");
  wire::Training& training = *job.mutable_training();
  training.set_steps(300);
  training.set_batch(32);
  training.set_micro_batch(4);
  training.mutable_optimizer()->set_name("adamw");
  training.mutable_optimizer()->set_learning_rate(6e-4);
  training.mutable_optimizer()->set_beta1(0.9);
  training.mutable_optimizer()->set_beta2(0.95);
  training.mutable_optimizer()->set_epsilon(1e-8);
  training.mutable_schedule()->set_warmup_steps(30);
  training.mutable_schedule()->set_decay("cosine");
  training.mutable_schedule()->set_final(0.1);
  training.set_clip_norm(1.0);
  training.set_dropout(0.1);
  training.set_precision("fp32");
  job.mutable_pipeline()->set_schedule("1f1b");
  job.set_compression("dense");
  return job;
}

template <class Change>
std::string refusal(Change change) {
  wire::Job job = good_job();
  change(job);
  const auto checked = validate_job(job);
  if (checked) return "accepted";
  CHECK(checked.error().kind == ErrorKind::kConfiguration);
  CHECK(checked.error().message.find('\n') == std::string::npos);
  return checked.error().message;
}

TEST_CASE("job: a complete job is accepted, an empty one is not") {
  CHECK(validate_job(good_job()).has_value());
  CHECK(validate_job(wire::Job()).has_error());
}

TEST_CASE("job: its name is fit for a file name") {
  for (const char* name : {"", "../up", ".hidden", "-f", "a b", "a/b", "a\n"}) {
    CAPTURE(name);
    CHECK(refusal([&](auto& job) { job.set_name(name); }).find("job: name is") == 0);
  }
  CHECK(refusal([](auto& job) { job.set_name(std::string(129, 'a')); }) != "accepted");
  CHECK(refusal([](auto& job) { job.set_name("Run-7_b.2"); }) == "accepted");
}

TEST_CASE("job: the micro-batch divides the batch") {
  CHECK(refusal([](auto& job) { job.mutable_training()->set_micro_batch(5); }) ==
        "job: training.micro_batch 5 does not divide training.batch 32");
  CHECK(refusal([](auto& job) { job.mutable_training()->set_micro_batch(0); }) ==
        "job: training.micro_batch is 0; 1 to 1048576 are allowed");
  CHECK(refusal([](auto& job) {
          job.mutable_training()->set_batch(kMaximumBatch);
          job.mutable_training()->set_micro_batch(1);
        }).find("makes 1048576 micro-batches") != std::string::npos);
}

TEST_CASE("job: unknown names are refused with the known ones") {
  CHECK(refusal([](auto& job) { job.mutable_training()->set_precision("fp8"); }) ==
        "job: training.precision is 'fp8'; use 'fp32' or 'bf16'");
  CHECK(refusal([](auto& job) { job.mutable_pipeline()->set_schedule("zb"); }) ==
        "job: pipeline.schedule is 'zb'; use 'gpipe', '1f1b' or 'zero-bubble'");
  for (const ScheduleKind kind : kScheduleKinds) {
    CHECK(refusal([kind](auto& job) {
            job.mutable_pipeline()->set_schedule(std::string(schedule_name(kind)));
          }) == "accepted");
  }
  CHECK(refusal([](auto& job) { job.set_compression("zip"); }) ==
        "job: compression is 'zip'; use dense, adaptive, adaptive(distortion=X), adatopk(RATIO), "
        "uniform-topk(RATIO) or fixed(RUNG)");
  CHECK(refusal([](auto& job) { job.set_compression("uniform-topk(0.5)"); }) ==
        "job: compression: the ratio of uniform-topk is '0.5'; it must be a number from 1 to "
        "1000000");
  CHECK(refusal([](auto& job) { job.mutable_training()->mutable_optimizer()->set_name("sgd"); }) ==
        "job: training.optimizer.name is 'sgd'; use 'adamw'");
  CHECK(refusal([](auto& job) { job.mutable_training()->mutable_schedule()->set_decay("line"); }) ==
        "job: training.schedule.decay is 'line'; use 'cosine' or 'constant'");
}

TEST_CASE("job: numbers are finite and in range") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double rate : {nan, infinity, 0.0, -1.0}) {
    CAPTURE(rate);
    CHECK(refusal([&](auto& job) {
            job.mutable_training()->mutable_optimizer()->set_learning_rate(rate);
          }).find("training.optimizer.learning_rate") != std::string::npos);
  }
  for (const double beta : {nan, -0.1, 1.0}) {
    CAPTURE(beta);
    CHECK(refusal([&](auto& job) {
            job.mutable_training()->mutable_optimizer()->set_beta2(beta);
          }).find("training.optimizer.betas[1]") != std::string::npos);
  }
  CHECK(refusal([](auto& job) { job.mutable_data()->set_holdout(1.0); }) ==
        "job: data.holdout is 1; it must lie in [0, 1)");
  CHECK(refusal([](auto& job) { job.mutable_training()->set_dropout(1.0); }) ==
        "job: training.dropout is 1; it must lie in [0, 1)");
  CHECK(refusal([&](auto& job) { job.mutable_training()->set_clip_norm(nan); }) ==
        "job: training.clip_norm is nan; it must be finite and at least 0");
  CHECK(refusal([](auto& job) { job.mutable_training()->set_clip_norm(0.0); }) == "accepted");
  CHECK(refusal([](auto& job) { job.mutable_training()->mutable_schedule()->set_final(1.5); }) ==
        "job: training.schedule.final is 1.5; it must lie in [0, 1]");
  CHECK(refusal([](auto& job) {
          job.mutable_training()->mutable_schedule()->set_warmup_steps(301);
        }) == "job: training.schedule.warmup_steps 301 exceeds training.steps 300");
  CHECK(refusal([](auto& job) {
          job.mutable_training()->set_steps(0);
        }).find("training.steps is 0") != std::string::npos);
  CHECK(refusal([](auto& job) {
          job.mutable_data()->set_sequence_length(0);
        }).find("data.sequence_length is 0") != std::string::npos);
}

TEST_CASE("job: paths are absolute") {
  CHECK(refusal([](auto& job) { job.mutable_model()->set_from("models"); }) ==
        "job: model.from 'models' is not an absolute path");
  CHECK(refusal([](auto& job) { job.mutable_model()->clear_source(); }) ==
        "job: model is missing; give one of config, from and graph");
  CHECK(refusal([](auto& job) { job.mutable_data()->add_train("b.txt"); }) ==
        "job: data.train 'b.txt' is not an absolute path");
  CHECK(refusal([](auto& job) { job.set_resume("x"); }) ==
        "job: resume 'x' is not an absolute path");
  CHECK(refusal([](auto& job) { job.mutable_checkpoint()->set_every(5); }) ==
        "job: checkpoint.directory is missing");
  CHECK(refusal([](auto& job) {
          job.mutable_checkpoint()->set_every(5);
          job.mutable_checkpoint()->set_directory("/out");
        }) == "job: checkpoint.keep is 0; keep at least 1");
}

TEST_CASE("job: each kind of file brings what reading it needs") {
  CHECK(refusal([](auto& job) { job.mutable_data()->clear_train(); }) ==
        "job: data.train names no file");
  CHECK(refusal([](auto& job) { job.mutable_data()->set_train(0, "/a.csv"); }) ==
        "job: data.train names '/a.csv'; files end in .txt, .jsonl or .bin");
  CHECK(refusal([](auto& job) { job.mutable_data()->add_train("/b.jsonl"); }) ==
        "job: data.text_field is missing; JSONL files need it");
  CHECK(refusal([](auto& job) { job.mutable_data()->add_train("/b.bin"); }) ==
        "job: data.token_bits is 0; .bin files need 16 or 32");
  CHECK(refusal([](auto& job) { job.mutable_data()->clear_tokenizer(); }) ==
        "job: data.tokenizer is missing");
  CHECK(refusal([](auto& job) {
          job.mutable_data()->set_train(0, "/a.bin");
          job.mutable_data()->set_token_bits(16);
          job.mutable_data()->clear_tokenizer();
        }) == "accepted");
}

TEST_CASE("job: data nodes are named once each") {
  CHECK(refusal([](auto& job) {
          job.mutable_data()->add_nodes("a");
          job.mutable_data()->add_nodes("a");
        }) == "job: data.nodes names 'a' twice");
  CHECK(refusal([](auto& job) { job.mutable_data()->add_nodes(""); }) != "accepted");
}

TEST_CASE("job: precisions have names and widths") {
  CHECK(precision_kind("bf16") == Precision::kBf16);
  CHECK_FALSE(precision_kind("fp16").has_value());
  CHECK(activation_bytes(Precision::kFp32) == 4);
  CHECK(activation_bytes(Precision::kBf16) == 2);
}

}  // namespace
}  // namespace longhaul::proto
