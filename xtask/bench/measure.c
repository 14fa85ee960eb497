/*
 * measure: runs a command many times and prints what each run cost.
 *
 *   measure RUNS PARALLEL COMMAND [ARG...]
 *
 * One line per run: wall nanoseconds, user microseconds, system microseconds, peak resident KiB. "{}" inside an argument becomes the
 * number of the run. With PARALLEL > 1 that many run at once, and one last line "total NANOSECONDS" is the time for all.
 *
 * It is C and static because a child's peak memory counts what it had before exec: a small parent keeps that out of the figures.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct run {
	pid_t pid;
	uint64_t began;
};

static void fail(const char *what) {
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Replaces the first "{}" by the number; the result lives until the process ends, a few bytes per run. */
static char *numbered(char *word, long number) {
	char *mark = strstr(word, "{}"), *text;
	if (!mark)
		return word;
	if (asprintf(&text, "%.*s%ld%s", (int)(mark - word), word, number, mark + 2) < 0)
		fail("asprintf");
	return text;
}

static void start(struct run *run, char **command, int count, long number, posix_spawn_file_actions_t *actions) {
	char *words[count + 1];
	for (int i = 0; i < count; i++)
		words[i] = numbered(command[i], number);
	words[count] = NULL;
	run->began = now();
	errno = posix_spawnp(&run->pid, words[0], actions, NULL, words, environ);
	if (errno)
		fail(words[0]);
}

/* Waits for one run of the table to end and prints its line. */
static void finish(struct run *runs, long slots) {
	struct rusage usage;
	int status;
	pid_t pid = wait4(-1, &status, 0, &usage);
	uint64_t ended = now();
	if (pid < 0)
		fail("wait4");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "measure: the command ended with wait status %#x\n", (unsigned)status);
		exit(1);
	}
	for (long i = 0; i < slots; i++) {
		if (runs[i].pid != pid)
			continue;
		printf("%llu %lld %lld %ld\n", (unsigned long long)(ended - runs[i].began),
			(long long)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
			(long long)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec, usage.ru_maxrss);
		runs[i].pid = 0;
	}
}

int main(int count, char **arguments) {
	if (count < 4) {
		fputs("usage: measure RUNS PARALLEL COMMAND [ARG...]\n", stderr);
		return 2;
	}
	long total = atol(arguments[1]), slots = atol(arguments[2]), begun = 0, busy = 0;
	struct run *runs = calloc((size_t)slots, sizeof *runs);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	uint64_t began = now();
	while (begun < total || busy > 0) {
		while (begun < total && busy < slots) {
			long slot = 0;
			while (runs[slot].pid)
				slot++;
			start(&runs[slot], arguments + 3, count - 3, begun++, &actions);
			busy++;
		}
		finish(runs, slots);
		busy--;
	}
	if (slots > 1)
		printf("total %llu\n", (unsigned long long)(now() - began));
	return 0;
}
