/* What the files of this guest share: types, ports, output. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

static inline void outb(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline u64 rdtsc(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (u64)high << 32 | low;
}

/* start.S: calls the function in user mode and never comes back. */
_Noreturn void enter_user(void (*function)(void));

/* Knows %s, %u and %x; the numbers are u64. Lines are up to 127 bytes. */
void print(const char *format, ...);

/* Prints "FAILED: …" and asks for a reboot, an ending that no success has. */
_Noreturn void fail(const char *what, u64 where);
