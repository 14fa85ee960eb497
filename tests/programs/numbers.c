/* Prints libseccomp's numbers of the calls named: x86-64, x86, x32, AArch64, ARM; negative for none. */
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	const uint32_t arches[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};
	for (int i = 1; i < argc; i++) {
		for (int a = 0; a < 5; a++)
			printf("%d ", seccomp_syscall_resolve_name_arch(arches[a], argv[i]));
		printf("\n");
	}
	return 0;
}
