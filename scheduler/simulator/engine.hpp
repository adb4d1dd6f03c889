// The simulator's state: events in, events out, on virtual time.
#pragma once

#include "scheduler/simulator/pipeline_work.hpp"
#include "scheduler/simulator/shared_capacity.hpp"
#include "scheduler/simulator/simulation.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

namespace longhaul::scheduler {

class Engine {
 public:
  Engine(const PipelineWork& work, const SimulationOptions& options);
  [[nodiscard]] Simulation run();

 private:
  // Something that takes a while, on a resource or by the clock alone.
  enum class JobKind : std::uint8_t {
    kDecode,       // stage
    kAction,       // stage
    kReduction,    // stage; by the clock
    kAgreement,    // stage; by the clock
    kUpdate,       // stage
    kEncode,       // transfer, message
    kWire,         // transfer, message
    kCarry,        // transfer, message: a processor's part in it, at either end
    kArrival,      // transfer, message; by the clock
    kTiedWire,     // exchange
    kTiedArrival,  // exchange; by the clock
    kRate,         // path, change; by the clock
  };
  struct Job {
    JobKind kind{};
    std::size_t index = 0;
    std::uint64_t message = 0;  // counted over all steps
  };
  struct Event {
    double at_s = 0.0;
    std::uint64_t serial = 0;
    std::optional<std::size_t> resource;  // else `job` is done
    std::uint64_t version = 0;            // of the resource
    Job job;
    bool operator>(const Event& other) const {
      return at_s != other.at_s ? at_s > other.at_s : serial > other.serial;
    }
  };
  struct Resource {
    explicit Resource(double capacity, const std::vector<double>& busy_speed = {})
        : shared(capacity, busy_speed) {}
    SharedCapacity shared;
    std::uint64_t version = 0;
  };
  struct Waiting {
    std::uint64_t message = 0;
    double made_s = 0.0;
  };
  struct Stage {
    std::vector<proto::Action> schedule;
    std::vector<std::size_t> forward_in, backward_in, forward_out, backward_out;  // transfers
    std::vector<std::size_t> exchanges;  // indices of tied_ that it takes part in
    std::uint32_t step = 0;
    std::size_t next = 0;  // place in the schedule
    bool busy = false;
    double idle_since_s = 0.0;
    double job_start_s = 0.0;
    std::uint64_t action_job = 0;
    bool in_action = false;
    std::size_t moving = 0;           // messages that leave or come
    std::deque<std::size_t> encoder;  // transfers whose next message waits, the first being encoded
    bool finished = false;            // micro-batches and reduction of this step
    std::size_t tied_missing = 0;
    double ready_s = -1.0;  // for the agreement; negative: not yet
    double bytes = 0.0;
    std::uint32_t in_flight = 0;
    double last_step_end_s = 0.0;
    StageOutcome outcome;
  };
  // A message that path or processors still work on.
  struct Flight {
    std::uint64_t message = 0;
    int missing = 1;
    double made_s = 0.0;
    double start_s = 0.0;
  };
  struct Transfer {
    std::uint64_t arrived = 0;
    std::deque<Waiting> to_encode, to_send;
    std::deque<Flight> flights;
    bool sending = false;
    double start_s = 0.0;
    TransferOutcome outcome;
  };
  struct Exchange {  // one ordered pair of stages that share a parameter
    std::size_t from = 0;
    std::size_t to = 0;
    double bytes = 0.0;
    std::size_t group = 0;
  };

  void add_event(double at_s, Job job);
  std::uint64_t start_job(std::size_t resource, Job job, double work, double most);
  void reschedule(std::size_t resource);
  [[nodiscard]] std::size_t path_resource(std::size_t path) const;
  void on_done(const Job& job);

  void start_step(std::size_t stage);
  void proceed(std::size_t stage);
  [[nodiscard]] bool has_inputs(const Stage& stage, const proto::Action& action) const;
  void begin_action(std::size_t stage);
  void compute(std::size_t stage);
  void end_action(std::size_t stage);
  void finish_schedule(std::size_t stage);
  void exchange_tied(std::size_t group);
  void check_ready(std::size_t stage);
  void agree();
  void end_step(std::size_t stage);

  void make(std::size_t transfer, std::uint64_t message);
  void encode_next(std::size_t stage);
  void send_next(std::size_t transfer);
  void carry(std::size_t transfer, Flight& flight, double bytes);
  void sent(std::size_t transfer, std::uint64_t message);
  void part_done(std::size_t transfer, std::uint64_t message);
  void arrived(std::size_t transfer, std::uint64_t message);
  void move(std::size_t stage, int change);
  [[nodiscard]] double most_of(const Stage& stage, const StageWork& work) const;

  void use_memory(std::size_t stage, double change);
  [[nodiscard]] bool last_step(const Stage& stage) const {
    return stage.step + 1 == options_.steps;
  }
  [[nodiscard]] bool kept(std::uint64_t message) const {
    return message / work_.micro_batches + 1 == options_.steps;
  }

  const PipelineWork& work_;
  const SimulationOptions options_;
  double now_s_ = 0.0;
  std::uint64_t serial_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<Job> jobs_;  // by id
  std::vector<std::uint64_t> free_jobs_;
  std::vector<Resource> resources_;  // hosts, then paths
  std::vector<Stage> stages_;
  std::vector<Transfer> transfers_;
  std::vector<Exchange> exchanges_;
  std::vector<std::size_t> group_missing_;  // stages of a tied group that have not finished
  std::size_t unready_ = 0;
  std::size_t running_ = 0;  // stages that have steps left
  Simulation result_;
};

}  // namespace longhaul::scheduler
