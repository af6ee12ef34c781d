/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs in threads: run, done, and interrupted at the end. */
#include "test.h"

#include <poll.h>

#include "agent/jobs.h"
#include "base/interrupt.h"

/* --- jobs --------------------------------------------------------------- */

struct task {
    struct kmse_job job; /* first */
    bool ran, done, was_interrupted;
};

static _Atomic bool gate_is_open;
static _Atomic unsigned at_gate;

static void run(struct kmse_job *job)
{
    ((struct task *)job)->ran = true;
}

static void run_until_let_go(struct kmse_job *job)
{
    struct kmse_interrupt *interrupt = kmse_interrupt_current();
    run(job);
    at_gate++;
    while (!gate_is_open && !kmse_interrupt_is_raised(interrupt))
        kmse_interrupt_sleep(interrupt, 1);
    ((struct task *)job)->was_interrupted = kmse_interrupt_is_raised(interrupt);
}

static void done(struct kmse_job *job)
{
    ((struct task *)job)->done = true;
}

static struct task task_to(void (*how)(struct kmse_job *job))
{
    return (struct task){.job = {.run = how, .done = done}};
}

static int close_gate(void **state)
{
    (void)state;
    gate_is_open = false;
    at_gate = 0;
    return 0;
}

static void wait_at_gate(unsigned count)
{
    while (at_gate < count)
        kmse_interrupt_sleep(NULL, 1);
}

static void collect_all(struct kmse_jobs *jobs)
{
    while (kmse_jobs_count(jobs) > 0) {
        struct pollfd ended = {.fd = kmse_jobs_fd(jobs), .events = POLLIN};
        assert_int_equal(poll(&ended, 1, 10000), 1);
        kmse_jobs_collect(jobs);
    }
}

static void each_job_is_run_and_done(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static struct task tasks[MANY];
    struct kmse_jobs *jobs = NULL;
    expect_ok(kmse_jobs_new(&jobs, 4, MANY));
    for (size_t i = 0; i < MANY; i++) {
        tasks[i] = task_to(run);
        assert_true(kmse_jobs_post(jobs, &tasks[i].job));
    }
    assert_int_equal(kmse_jobs_count(jobs), MANY);
    collect_all(jobs);
    for (size_t i = 0; i < MANY; i++)
        assert_true(tasks[i].ran && tasks[i].done);
    /* Jobs that ended while others were collected may have woken it again. */
    kmse_jobs_collect(jobs);
    struct pollfd ended = {.fd = kmse_jobs_fd(jobs), .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 0), 0);
    kmse_jobs_free(jobs);
}

static void a_full_queue_takes_no_more(void **state)
{
    (void)state;
    struct kmse_jobs *jobs = NULL;
    struct task running = task_to(run_until_let_go);
    struct task waiting = task_to(run), late = task_to(run);
    expect_ok(kmse_jobs_new(&jobs, 1, 1));
    assert_true(kmse_jobs_post(jobs, &running.job));
    wait_at_gate(1);
    assert_true(kmse_jobs_post(jobs, &waiting.job));
    assert_false(kmse_jobs_post(jobs, &late.job));
    gate_is_open = true;
    collect_all(jobs);
    assert_true(waiting.done);
    assert_false(late.ran || late.done);
    kmse_jobs_free(jobs);
}

static void the_end_interrupts_and_leaves_nobody_waiting(void **state)
{
    (void)state;
    struct kmse_jobs *jobs = NULL;
    struct task running = task_to(run_until_let_go), waiting = task_to(run);
    expect_ok(kmse_jobs_new(&jobs, 1, 8));
    assert_true(kmse_jobs_post(jobs, &running.job));
    wait_at_gate(1);
    assert_true(kmse_jobs_post(jobs, &waiting.job));
    kmse_jobs_free(jobs);
    assert_true(running.done && running.was_interrupted);
    assert_true(waiting.done);
    assert_false(waiting.ran);
    kmse_jobs_free(NULL);
}

#define STORY(f) cmocka_unit_test_setup(f, close_gate)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(each_job_is_run_and_done),
        STORY(a_full_queue_takes_no_more),
        STORY(the_end_interrupts_and_leaves_nobody_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
