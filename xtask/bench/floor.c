/*
 * floor: the least that a start with ctr-run's defaults can cost.
 *
 *   floor LOWER SCRATCH CGROUPS PROGRAM [ARG...]
 *
 * LOWER is the unpacked layer, SCRATCH a directory for this run's upper, CGROUPS a comma-separated list of cgroup directories in which
 * one is made and joined. It makes the namespaces by one clone3, joins the cgroups, mounts what a container is given, pivots, execs,
 * waits for the end and takes its directories away again. No parsing, no checks beyond the return values, no record, no seccomp
 * filter, no capabilities, no init: everything that ctr-run does on top is what the ratio shows.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CGROUPS 16

/* From linux/sched.h, which the musl wrapper of gcc does not see. */
struct clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define MUST(call) do { if ((call) < 0) fail(#call); } while (0)

static void fail(const char *what) {
	dprintf(2, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void device(const char *path, unsigned major_number, unsigned minor_number) {
	MUST(mknod(path, S_IFCHR | 0666, makedev(major_number, minor_number)));
}

static void devices(void) {
	umask(0);
	device("dev/null", 1, 3);
	device("dev/zero", 1, 5);
	device("dev/full", 1, 7);
	device("dev/random", 1, 8);
	device("dev/urandom", 1, 9);
	device("dev/tty", 5, 0);
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/shm", 01777));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(symlink("/proc/self/fd", "dev/fd"));
	MUST(symlink("/proc/self/fd/0", "dev/stdin"));
	MUST(symlink("/proc/self/fd/1", "dev/stdout"));
	MUST(symlink("/proc/self/fd/2", "dev/stderr"));
	MUST(symlink("pts/ptmx", "dev/ptmx"));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	MUST(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""));
	umask(022);
}

/* What the container must not see or write: the same places that every runtime covers. */
static void masks(void) {
	static const char *const files[] = {
		"proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list", "proc/timer_stats",
		"proc/sched_debug",
	};
	static const char *const directories[] = {
		"proc/asound", "proc/acpi", "proc/scsi", "sys/firmware", "sys/devices/virtual/powercap",
	};
	static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (mount("dev/null", files[i], "", MS_BIND, "") < 0 && errno != ENOENT)
			fail(files[i]);
	for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
		if (mount("tmpfs", directories[i], "tmpfs", MS_RDONLY, "") < 0 && errno != ENOENT)
			fail(directories[i]);
	for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
		if (mount(read_only[i], read_only[i], "", MS_BIND | MS_REC, "") < 0) {
			if (errno == ENOENT)
				continue;
			fail(read_only[i]);
		}
		MUST(mount("", read_only[i], "", MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, ""));
	}
}

/* /etc/hosts and /etc/hostname are the container's own. */
static void generated(const char *scratch, const char *name) {
	char file[1024], place[64];
	snprintf(file, sizeof file, "%s/%s", scratch, name);
	snprintf(place, sizeof place, "etc/%s", name);
	MUST(close(open(place, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)));
	MUST(mount(file, place, "", MS_BIND, ""));
	MUST(mount("", place, "", MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC, ""));
}

static void loopback_up(void) {
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(fd);
	MUST(ioctl(fd, SIOCGIFFLAGS, &request));
	request.ifr_flags |= IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

static void container(const char *lower, const char *scratch, const int *tasks, size_t task_count, char **program) {
	char options[4096], root[1024];
	/* A thread that moves itself needs no lock of the whole host, unlike one that is moved by cgroup.procs. */
	for (size_t i = 0; i < task_count; i++)
		MUST(write(tasks[i], "0", 1));
	MUST(unshare(CLONE_NEWCGROUP));
	snprintf(root, sizeof root, "%s/root", scratch);
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,volatile", lower, scratch, scratch);
	MUST(mount("", "/", "", MS_REC | MS_PRIVATE, ""));
	MUST(mount("overlay", root, "overlay", 0, options));
	MUST(chdir(root));
	MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""));
	MUST(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, ""));
	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"));
	devices();
	generated(scratch, "hosts");
	generated(scratch, "hostname");
	masks();
	loopback_up();
	MUST(sethostname("floor", 5));
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
	char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	execve(program[0], program, environment);
	fail(program[0]);
}

static void write_file(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	MUST(fd);
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

int main(int count, char **arguments) {
	if (count < 5) {
		fputs("usage: floor LOWER SCRATCH CGROUPS PROGRAM [ARG...]\n", stderr);
		return 2;
	}
	char *groups[MAX_CGROUPS], path[1024], scratch[512];
	size_t group_count = 0;
	for (char *word = strtok(arguments[3], ","); word && group_count < MAX_CGROUPS; word = strtok(NULL, ","))
		groups[group_count++] = word;

	static const char *const parts[] = {"", "/upper", "/work", "/root"};
	snprintf(scratch, sizeof scratch, "%s/%d", arguments[2], getpid());
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		snprintf(path, sizeof path, "%s%s", scratch, parts[i]);
		MUST(mkdir(path, 0755));
	}
	snprintf(path, sizeof path, "%s/hosts", scratch);
	write_file(path, "127.0.0.1 localhost\n::1 localhost\n");
	snprintf(path, sizeof path, "%s/hostname", scratch);
	write_file(path, "floor\n");
	for (size_t i = 0; i < group_count; i++) {
		snprintf(path, sizeof path, "%s/floor-%d", groups[i], getpid());
		MUST(mkdir(path, 0755));
	}

	/* cgroup v2 is joined at birth, v1 by the tasks file. */
	int tasks[MAX_CGROUPS], born_in = -1;
	size_t task_count = 0;
	for (size_t i = 0; i < group_count; i++) {
		snprintf(path, sizeof path, "%s/floor-%d/tasks", groups[i], getpid());
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0) {
			tasks[task_count++] = fd;
			continue;
		}
		snprintf(path, sizeof path, "%s/floor-%d", groups[i], getpid());
		MUST(born_in = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	}
	struct clone_args clone = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
		.exit_signal = SIGCHLD,
	};
	if (born_in >= 0) {
		clone.flags |= 0x200000000ULL; /* CLONE_INTO_CGROUP */
		clone.cgroup = (uint64_t)born_in;
	}
	pid_t child = (pid_t)syscall(SYS_clone3, &clone, sizeof clone);
	MUST(child);
	if (child == 0)
		container(arguments[1], scratch, tasks, task_count, arguments + 4);

	int status;
	MUST(waitpid(child, &status, 0));

	for (size_t i = 0; i < group_count; i++) {
		snprintf(path, sizeof path, "%s/floor-%d", groups[i], getpid());
		rmdir(path);
	}
	/* The program of the benchmark writes nothing; overlay leaves these. */
	static const char *const files[] = {
		"/work/work/incompat/volatile/dirty", "/upper/etc/hosts", "/upper/etc/hostname", "/hosts", "/hostname",
	};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s%s", scratch, files[i]);
		MUST(unlink(path));
	}
	static const char *const leftovers[] = {
		"/work/work/incompat/volatile", "/work/work/incompat", "/work/work", "/work", "/upper/etc", "/upper", "/root", "",
	};
	for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++) {
		snprintf(path, sizeof path, "%s%s", scratch, leftovers[i]);
		if (rmdir(path) < 0 && errno != ENOENT)
			fail(path);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
