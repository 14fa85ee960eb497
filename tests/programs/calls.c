/* Makes the system calls that its arguments name, each in a process of its own, and prints what came of each.
 *
 * usage: calls ARCH:NUMBER[:ARG]...     ARCH is n (native), x (with the bit of x32), c (int 0x80, 32-bit x86)
 * prints a line for each: "ok", "errno N", "signal N" */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long make(char arch, long number, const unsigned long *a)
{
#ifdef __x86_64__
	if (arch == 'c') {
		long result;
		__asm__ volatile("int $0x80" : "=a"(result)
				 : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4]) : "memory", "r8", "r9", "r10", "r11");
		return (int)result;
	}
	if (arch == 'x')
		number |= 0x40000000;
#endif
	long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return result == -1 ? -errno : result;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		unsigned long numbers[8] = {0};
		char *rest = argv[i] + 2;
		for (int n = 0; n < 7 && rest; n++) {
			numbers[n] = strtoull(rest, NULL, 0);
			rest = strchr(rest, ':');
			rest = rest ? rest + 1 : NULL;
		}
		int report[2];
		if (pipe(report))
			return 3;
		pid_t child = fork();
		if (child == 0) {
			long result = make(argv[i][0], (long)numbers[0], numbers + 1);
			if (write(report[1], &result, sizeof result) != sizeof result)
				_exit(4);
			_exit(0);
		}
		close(report[1]);
		long result = 0;
		int status = 0;
		ssize_t got = read(report[0], &result, sizeof result);
		close(report[0]);
		waitpid(child, &status, 0);
		if (WIFSIGNALED(status))
			printf("signal %d\n", WTERMSIG(status));
		else if (got != sizeof result)
			printf("lost\n");
		else if (result < 0 && result > -4096)
			printf("errno %ld\n", -result);
		else
			printf("ok\n");
	}
	return 0;
}
