/* The least VMM in C that can run the benchmark guest: what an MMIO exit costs without Paddock.
 *
 *   cc -O2 -o exit_loop exit_loop.c
 *   exit_loop [-i] GUEST.elf "bench=mmio3:100000"
 *
 * It enters the ELF by PVH, serves writes to 0xd0000000 + 4 KiB as Paddock's vCPU worker serves a
 * hot register (a store into a page), the serial port, and the ACPI sleep register, and prints one
 * line of JSON: the exits, the time from the first to the last, and the time an exit. -i creates
 * the in-kernel interrupt controllers, which Paddock has. */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RAM_SIZE = 32 << 20, START_INFO = 0x6000, CMDLINE = 0x20000, PAGE = 4096 };
enum { COM1 = 0x3f8, SLEEP_CONTROL = 0x600 };
#define REGISTERS 0xd0000000ul

static uint8_t *ram;
static _Atomic uint32_t registers[PAGE / 4];

static int call(int fd, unsigned long request, const char *name, void *argument) {
  int result = ioctl(fd, request, argument);
  if (result < 0) err(1, "%s", name);
  return result;
}
#define CALL(fd, request, argument) call(fd, request, #request, (void *)(argument))

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* Loads the segments and returns the entry that the note names: Xen docs/misc/pvh.pandoc. */
static uint32_t load(const char *path) {
  static uint8_t file[1 << 20];
  int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, file, sizeof file) < (ssize_t)sizeof(Elf64_Ehdr)) err(1, "%s", path);
  close(fd);
  const Elf64_Ehdr *elf = (void *)file;
  const Elf64_Phdr *segment = (void *)(file + elf->e_phoff);
  uint32_t entry = 0;
  for (int i = 0; i < elf->e_phnum; i++, segment++) {
    const uint8_t *bytes = file + segment->p_offset;
    if (segment->p_type == PT_LOAD) memcpy(ram + segment->p_paddr, bytes, segment->p_filesz);
    const Elf64_Nhdr *note = (void *)bytes; /* followed by "Xen" and the entry */
    if (segment->p_type == PT_NOTE && note->n_type == 18) memcpy(&entry, (char *)(note + 1) + 4, 4);
  }
  if (!entry) errx(1, "%s has no PVH entry", path);
  return entry;
}

static void write_start_info(const char *cmdline) {
  struct { uint32_t magic, version, flags, modules; uint64_t modlist, cmdline, rsdp; } info = {
    .magic = 0x336ec578, .version = 1, .cmdline = CMDLINE,
  };
  memcpy(ram + START_INFO, &info, sizeof info);
  strcpy((char *)ram + CMDLINE, cmdline);
}

static void set_cpuid(int kvm, int vcpu) {
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 256 * sizeof cpuid->entries[0]);
  cpuid->nent = 256;
  CALL(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
  CALL(vcpu, KVM_SET_CPUID2, cpuid);
  free(cpuid);
}

static void set_registers(int vcpu, uint32_t entry) {
  struct kvm_sregs special;
  CALL(vcpu, KVM_GET_SREGS, &special);
  struct kvm_segment flat = { .limit = ~0u, .present = 1, .s = 1, .db = 1, .g = 1 };
  special.cs = flat, special.cs.selector = 8, special.cs.type = 11;
  flat.selector = 16, flat.type = 3;
  special.ds = special.es = special.fs = special.gs = special.ss = flat;
  special.tr = (struct kvm_segment){ .limit = 0x67, .type = 11, .present = 1 };
  special.cr0 = 0x11; /* PE, ET */
  CALL(vcpu, KVM_SET_SREGS, &special);
  CALL(vcpu, KVM_SET_REGS, (&(struct kvm_regs){ .rip = entry, .rbx = START_INFO, .rflags = 2 }));
}

/* Returns 1 at the power off. The line status register says that the transmitter is empty. */
static int port_exit(struct kvm_run *run) {
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  if (run->io.direction == KVM_EXIT_IO_IN) *data = run->io.port == COM1 + 5 ? 0x60 : 0xff;
  else if (run->io.port == COM1) fputc(*data, stderr);
  return run->io.direction == KVM_EXIT_IO_OUT && run->io.port == SLEEP_CONTROL;
}

static void mmio_exit(struct kvm_run *run) {
  uint64_t offset = run->mmio.phys_addr - REGISTERS;
  if (offset >= PAGE || run->mmio.len != 4 || offset % 4) return;
  uint32_t value;
  if (run->mmio.is_write) {
    memcpy(&value, run->mmio.data, 4);
    atomic_store(&registers[offset / 4], value);
  } else {
    value = atomic_load(&registers[offset / 4]);
    memcpy(run->mmio.data, &value, 4);
  }
}

static void run_guest(int vcpu, struct kvm_run *run) {
  uint64_t exits = 0, first = 0, last = 0;
  for (;;) {
    CALL(vcpu, KVM_RUN, 0);
    if (run->exit_reason == KVM_EXIT_MMIO) {
      mmio_exit(run);
      last = now();
      if (exits++ == 0) first = last;
    } else if (run->exit_reason != KVM_EXIT_IO) {
      errx(1, "unexpected exit reason %u", run->exit_reason);
    } else if (port_exit(run)) {
      break;
    }
  }
  double each = exits > 1 ? (double)(last - first) / (exits - 1) : 0;
  printf("{\"exits\":%lu,\"ns\":%lu,\"nsPerExit\":%.1f}\n", exits, last - first, each);
}

int main(int argc, char **argv) {
  int irqchip = argc > 1 && !strcmp(argv[1], "-i");
  if (argc != 3 + irqchip) errx(2, "usage: exit_loop [-i] GUEST.elf CMDLINE");
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) err(1, "/dev/kvm");
  int vm = CALL(kvm, KVM_CREATE_VM, 0);
  ram = mmap(0, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ram == MAP_FAILED) err(1, "mmap");
  struct kvm_userspace_memory_region region = {
    .memory_size = RAM_SIZE, .userspace_addr = (uint64_t)ram,
  };
  CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
  CALL(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
  if (irqchip) CALL(vm, KVM_CREATE_IRQCHIP, 0);
  int vcpu = CALL(vm, KVM_CREATE_VCPU, 0);
  size_t size = CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) err(1, "mmap of kvm_run");
  set_cpuid(kvm, vcpu);
  write_start_info(argv[irqchip + 2]);
  set_registers(vcpu, load(argv[irqchip + 1]));
  run_guest(vcpu, run);
}
