/* A guest that needs no operating system: it drives a console, disks and an entropy source, says
 * what it found, and ends as its command line asks. Also the guest of the exit benchmark.
 *
 *   serial                          print to the serial port even if there is a console
 *   virtio_mmio=BASE,STRIDE,COUNT   where devices are, if not in Paddock's windows
 *   exit=reboot|triple|hang|spin|panic|popcnt   another ending than power off
 *   bench=mmio:N[,GPA]              instead of all that: N 32-bit writes, in kernel mode
 *   bench=mmio3:N[,GPA]             the same in user mode
 *   bench=mail:N[,GPA]              N 32-bit reads in user mode, each timed
 *   bench=kick:N[,TICKS]            N requests to the entropy source or the console, each timed from
 *                                   the kick to the used ring; the TSC runs TICKS between them
 */
#include "virtio.h"

/* Xen include/public/arch-x86/hvm/start_info.h, up to what is used. */
struct hvm_start_info {
  u32 magic, version, flags, nr_modules;
  u64 modlist_paddr, cmdline_paddr;
};

enum { COM1 = 0x3f8, PVPANIC = 0x505, SLEEP_CONTROL = 0x600, RESET = 0x602 };
enum { MAX_DEVICES = 24, SECTOR = 512 };

static const char *cmdline = "";
static struct device devices[MAX_DEVICES];
static u32 device_count;
static struct device *console;

/* ---- Command line ---- */

static int starts_with(const char *text, const char *prefix) {
  while (*prefix && *text == *prefix) text++, prefix++;
  return *prefix == 0;
}

/* What follows `name` where a word of the command line starts with it, else 0. */
static const char *option(const char *name) {
  for (const char *at = cmdline; *at;) {
    const char *word = at;
    while (*at && *at != ' ') at++;
    if (starts_with(word, name)) {
      while (*name) name++, word++;
      return word;
    }
    while (*at == ' ') at++;
  }
  return 0;
}

/* Takes a decimal or 0x number and the character behind it. */
static u64 number(const char **text) {
  u64 value = 0, base = 10;
  const char *at = *text;
  if (starts_with(at, "0x")) base = 16, at += 2;
  for (;; at++) {
    u64 digit = 99;
    if (*at >= '0' && *at <= '9') digit = *at - '0';
    if (*at >= 'a' && *at <= 'f') digit = *at - 'a' + 10;
    if (digit >= base) break;
    value = value * base + digit;
  }
  *text = *at && *at != ' ' ? at + 1 : at;
  return value;
}

static int ends_with(const char *how) {
  const char *ending = option("exit=");
  return ending && starts_with(ending, how);
}

/* ---- Output ---- */

static char line[128];
static u32 line_length;

static void put(char c) {
  if (line_length < sizeof line) line[line_length++] = c;
}

static void put_number(u64 value, u64 base) {
  char digits[20];
  int count = 0;
  do digits[count++] = "0123456789abcdef"[value % base];
  while (value /= base);
  while (count) put(digits[--count]);
}

static void flush(void) {
  if (console) {
    virtio_transfer(console, &(struct buffer){ line, line_length, DEVICE_READS }, 1);
  }
  for (u32 i = 0; (!console || option("serial")) && i < line_length; i++) {
    for (int tries = 0; tries < 1000 && !(inb(COM1 + 5) & 0x20); tries++);
    outb(COM1, line[i]);
  }
  line_length = 0;
}

void print(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  for (; *format; format++) {
    if (*format != '%') {
      put(*format);
    } else if (*++format == 's') {
      for (const char *text = __builtin_va_arg(arguments, char *); *text; text++) put(*text);
    } else {
      put_number(__builtin_va_arg(arguments, u64), *format == 'x' ? 16 : 10);
    }
  }
  __builtin_va_end(arguments);
  flush();
}

/* ---- Endings ---- */

static _Noreturn void triple_fault(void) {
  __asm__ volatile("ud2"); /* start.S left no IDT */
  __builtin_unreachable();
}

void fail(const char *what, u64 where) {
  if (console && console->base == where) console = 0;
  print("FAILED: %s (at 0x%x)\n", what, where);
  outb(RESET, 1);
  triple_fault();
}

static _Noreturn void end(void) {
  if (ends_with("reboot")) outb(RESET, 1);
  if (ends_with("reboot") || ends_with("triple")) triple_fault();
  if (ends_with("panic")) outb(PVPANIC, 1);
  if (ends_with("popcnt")) __asm__ volatile("popcnt %%rax, %%rax" : : : "rax", "cc");
  while (ends_with("spin")) __asm__ volatile("1: jmp 1b");
  while (ends_with("hang")) __asm__ volatile("cli; hlt");
  outb(SLEEP_CONTROL, 5 << 2 | 1 << 5); /* ACPI 6.5 §4.8.3.7: SLP_TYPx of _S5, SLP_EN */
  triple_fault();
}

/* ---- Devices ---- */

/* Windows follow one another without a gap; an empty one (id 0) is passed over. */
static void find_devices(void) {
  u64 base = 0xd0000000, stride = 0x1000, count = MAX_DEVICES;
  const char *windows = option("virtio_mmio=");
  if (windows) base = number(&windows), stride = number(&windows), count = number(&windows);
  while (count-- && device_count < MAX_DEVICES && virtio_probe(&devices[device_count], base)) {
    if (devices[device_count].id) device_count++;
    base += stride;
  }
}

/* §5.3.2: queue 1 is transmitq of port 0. */
static void start_console(void) {
  for (struct device *device = devices; device < devices + device_count && !console; device++) {
    if (device->id != ID_CONSOLE) continue;
    virtio_start(device, 0, 1);
    console = device;
  }
}

/* §5.2.6: VIRTIO_BLK_T_IN is 0, VIRTIO_BLK_T_OUT is 1, VIRTIO_BLK_S_OK is 0. */
static void block_transfer(struct device *device, u32 type, u64 sector, void *data) {
  struct { u32 type, reserved; u64 sector; } header = { type, 0, sector };
  volatile u8 status = 0xff;
  u32 written = virtio_transfer(device, (struct buffer[]){
    { &header, sizeof header, DEVICE_READS },
    { data, SECTOR, type ? DEVICE_READS : DEVICE_WRITES },
    { (void *)&status, 1, DEVICE_WRITES },
  }, 3);
  if (status) virtio_fail(device, type ? "a sector cannot be written" : "a sector cannot be read");
  if (written != (type ? 1 : SECTOR + 1)) virtio_fail(device, "the used length is wrong");
}

static void try_block(struct device *device) {
  static u64 before[SECTOR / 8], pattern[SECTOR / 8], after[SECTOR / 8];
  virtio_start(device, VIRTIO_BLK_F_RO, 0);
  u64 capacity = virtio_config64(device, 0);
  if (!capacity) virtio_fail(device, "the disk has no sectors");
  u64 last = capacity - 1;
  block_transfer(device, 0, last, before);
  if (device->features & VIRTIO_BLK_F_RO) {
    print("block: %u sectors, read-only, sector %u read\n", capacity, last);
    return;
  }
  for (u64 i = 0; i < SECTOR / 8; i++) pattern[i] = (last + i) * 0x9e3779b97f4a7c15;
  block_transfer(device, 1, last, pattern);
  block_transfer(device, 0, last, after);
  block_transfer(device, 1, last, before);
  for (u64 i = 0; i < SECTOR / 8; i++) {
    if (after[i] != pattern[i]) virtio_fail(device, "a sector reads otherwise than written");
  }
  print("block: %u sectors, sector %u written and verified\n", capacity, last);
}

/* §5.4.6.2: an answer has at least one byte and may have less than was asked for. */
static void try_entropy(struct device *device) {
  static u8 bytes[16];
  u8 all = 0;
  virtio_start(device, 0, 0);
  for (u32 have = 0; have < sizeof bytes;) {
    struct buffer rest = { bytes + have, sizeof bytes - have, DEVICE_WRITES };
    u32 got = virtio_transfer(device, &rest, 1);
    if (got == 0 || got > rest.len) virtio_fail(device, "the used length is wrong");
    have += got;
  }
  char text[2 * sizeof bytes + 1] = "";
  for (u32 i = 0; i < sizeof bytes; i++) {
    text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
    text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    all |= bytes[i];
  }
  if (!all) virtio_fail(device, "all the random bytes are 0");
  print("rng: %s\n", text);
}

/* ---- What this guest does ---- */

static _Noreturn void hello(void) {
  find_devices();
  start_console();
  print("Hello from the Paddock guest\n");
  if (console) print("console: at 0x%x\n", console->base);
  for (struct device *device = devices; device < devices + device_count; device++) {
    if (device->id == ID_BLOCK) try_block(device);
    else if (device->id == ID_ENTROPY) try_entropy(device);
    else if (device != console) print("virtio %u: left alone\n", (u64)device->id);
  }
  print("Goodbye\n");
  end();
}

/* QueueNotify of the first device, unless told otherwise; three instructions an exit. */
static _Noreturn void bench(void) {
  const char *arguments = option("bench=mmio");
  while (*arguments++ != ':');
  u64 count = number(&arguments), address = number(&arguments);
  volatile u32 *reg = (u32 *)(address ? address : 0xd0000050);
  u64 begin = rdtsc();
  for (u64 left = count; left; left--) *reg = 0;
  print("bench: %u writes in %u TSC ticks\n", count, rdtsc() - begin);
  end();
}

/* Linux arch/x86/include/asm/pvclock-abi.h: how KVM makes nanoseconds of the TSC. */
static volatile struct {
  u32 version, padding;
  u64 tsc, ns;
  u32 multiplier;
  signed char shift;
  u8 flags, more[2];
} __attribute__((aligned(32))) clock;

static void start_clock(void) {
  u64 address = (u64)&clock | 1; /* MSR_KVM_SYSTEM_TIME_NEW */
  __asm__ volatile("wrmsr" : : "c"(0x4b564d01), "a"((u32)address), "d"((u32)(address >> 32)));
}

static u64 ticks[4096];
static u64 tick_count;

static void add_sample(u64 begin) {
  u64 value = rdtsc() - begin;
  if (tick_count < sizeof ticks / sizeof *ticks) ticks[tick_count++] = value;
}

/* The median of the samples: a host with other work spoils a few of them badly. */
static void report(const char *what) {
  for (u64 i = 1; i < tick_count; i++) {
    u64 value = ticks[i], at = i;
    for (; at && ticks[at - 1] > value; at--) ticks[at] = ticks[at - 1];
    ticks[at] = value;
  }
  u64 median = ticks[tick_count / 2];
  median = clock.shift < 0 ? median >> -clock.shift : median << clock.shift;
  print("bench: %u %s, median %u ns\n", tick_count, what, median * clock.multiplier >> 32);
}

/* Status of the first device, unless told otherwise. */
static _Noreturn void bench_mail(void) {
  const char *arguments = option("bench=mail:");
  u64 count = number(&arguments), address = number(&arguments);
  volatile u32 *reg = (u32 *)(address ? address : 0xd0000070);
  while (count--) {
    u64 begin = rdtsc();
    (void)*reg;
    add_sample(begin);
  }
  report("reads");
  end();
}

/* The first entropy source, else the first console. */
static struct device *find_target(void) {
  find_devices();
  struct device *target = 0;
  for (struct device *device = devices; device < devices + device_count; device++) {
    if (device->id == ID_ENTROPY) return device;
    if (device->id == ID_CONSOLE && !target) target = device;
  }
  if (!target) fail("no entropy source and no console", 0);
  return target;
}

/* The device may interrupt, as for any driver; with interrupts off none arrives here. */
static _Noreturn void bench_kick(void) {
  const char *arguments = option("bench=kick:");
  u64 count = number(&arguments), pause = number(&arguments);
  struct device *device = find_target();
  static u8 byte = '.';
  struct buffer buffer = { &byte, 1, device->id == ID_ENTROPY ? DEVICE_WRITES : DEVICE_READS };
  virtio_start(device, 0, device->id == ID_CONSOLE);
  device->avail.flags = 0;
  while (count--) {
    virtio_wait_idle(device);
    for (u64 begin = rdtsc(); rdtsc() - begin < pause;) __asm__ volatile("pause");
    u64 begin = rdtsc();
    virtio_transfer(device, &buffer, 1);
    add_sample(begin);
  }
  report("kicks");
  end();
}

/* Called by start.S in kernel mode. Whatever can run in user mode does: there are nested hosts that
 * run it natively, but emulate kernel mode slowly and without some instructions (popcnt is one). */
_Noreturn void start(const struct hvm_start_info *info) {
  if (info->magic != 0x336ec578) fail("not started by the PVH protocol", (u64)info);
  if (info->cmdline_paddr) cmdline = (const char *)info->cmdline_paddr;
  if (option("bench=mmio:")) bench();
  if (option("bench=mmio3:")) enter_user(bench);
  if (option("bench=mail:")) start_clock(), enter_user(bench_mail);
  if (option("bench=kick:")) start_clock(), enter_user(bench_kick);
  if (ends_with("hang") || ends_with("popcnt")) hello();
  enter_user(hello);
}
