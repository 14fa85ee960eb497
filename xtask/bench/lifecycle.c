/*
 * lifecycle: takes containers of one bundle through an OCI runtime's commands and prints what each command cost.
 *
 *   lifecycle RUNS BUNDLE PID-FILE RUNTIME [GLOBAL-OPTION...]
 *
 * One line per command: its name, wall nanoseconds, user microseconds, system microseconds, peak resident KiB. The bundle's program
 * sleeps. Its end is waited for between kill and delete, as its parent: the container becomes ours when the runtime has gone, and that
 * it runs a moment longer is no cost of any command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char *words[32];
static int globals;
static posix_spawn_file_actions_t actions;
static pid_t container;

/* A container that stays would hold our caller's pipe open. */
static void give_up(void) {
	if (container > 0)
		kill(container, SIGKILL);
	exit(1);
}

static void fail(const char *what) {
	fprintf(stderr, "lifecycle: %s: %s\n", what, strerror(errno));
	give_up();
}

static uint64_t now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void step(const char *name, char *const *more) {
	struct rusage usage;
	int status, count = globals;
	pid_t pid;
	words[count++] = (char *)name;
	while (*more && count < 31)
		words[count++] = *more++;
	words[count] = NULL;
	uint64_t began = now();
	errno = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	if (errno)
		fail(words[0]);
	if (wait4(pid, &status, 0, &usage) != pid)
		fail("wait4");
	uint64_t ended = now();
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "lifecycle: %s %s ended with wait status %#x\n", words[0], name, (unsigned)status);
		give_up();
	}
	printf("%s %llu %lld %lld %ld\n", name, (unsigned long long)(ended - began),
		(long long)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
		(long long)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec, usage.ru_maxrss);
}

static pid_t read_pid(const char *pid_file) {
	char text[32] = "";
	FILE *file = fopen(pid_file, "r");
	if (!file || !fgets(text, sizeof text, file))
		fail(pid_file);
	fclose(file);
	return (pid_t)atoi(text);
}

int main(int count, char **arguments) {
	if (count < 5 || count > 16) {
		fputs("usage: lifecycle RUNS BUNDLE PID-FILE RUNTIME [GLOBAL-OPTION...]\n", stderr);
		return 2;
	}
	char *bundle = arguments[2], *pid_file = arguments[3], id[64];
	globals = count - 4;
	memcpy(words, arguments + 4, (size_t)globals * sizeof *words);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		fail("prctl");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	for (long run = 0; run < atol(arguments[1]); run++) {
		snprintf(id, sizeof id, "lifecycle-%ld-%ld", (long)getpid(), run);
		step("create", (char *[]) { "--bundle", bundle, "--pid-file", pid_file, id, NULL });
		container = read_pid(pid_file);
		step("start", (char *[]) { id, NULL });
		step("state", (char *[]) { id, NULL });
		step("exec", (char *[]) { id, "/bin/true", NULL });
		step("kill", (char *[]) { id, "KILL", NULL });
		if (waitpid(container, NULL, 0) != container)
			fail("the container is no child of ours");
		container = 0;
		step("delete", (char *[]) { id, NULL });
	}
	return 0;
}
