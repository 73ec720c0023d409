/* Sections are those of virtio-v1.3. */
#include "virtio.h"

/* §4.2.2, table 4.1. */
enum {
  MAGIC_VALUE = 0x000,
  VERSION = 0x004,
  DEVICE_ID = 0x008,
  DEVICE_FEATURES = 0x010,
  DEVICE_FEATURES_SEL = 0x014,
  DRIVER_FEATURES = 0x020,
  DRIVER_FEATURES_SEL = 0x024,
  QUEUE_SEL = 0x030,
  QUEUE_SIZE_MAX = 0x034,
  QUEUE_SIZE_SET = 0x038,
  QUEUE_READY = 0x044,
  QUEUE_NOTIFY = 0x050,
  STATUS = 0x070,
  QUEUE_DESC_LOW = 0x080,
  QUEUE_DRIVER_LOW = 0x090,
  QUEUE_DEVICE_LOW = 0x0a0,
  CONFIG_GENERATION = 0x0fc,
  CONFIG = 0x100,
};

/* §2.1. */
enum {
  ACKNOWLEDGE = 1,
  DRIVER = 2,
  DRIVER_OK = 4,
  FEATURES_OK = 8,
  NEEDS_RESET = 64,
  FAILED = 128,
};
/* §2.7.5, §2.7.6, §2.7.8. */
enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, AVAIL_F_NO_INTERRUPT = 1, USED_F_NO_NOTIFY = 1 };

/* Some seconds on any processor. */
#define PATIENCE (1ul << 34)

static u32 get(struct device *device, u32 offset) {
  return *(volatile u32 *)(device->base + offset);
}

static void set(struct device *device, u32 offset, u32 value) {
  *(volatile u32 *)(device->base + offset) = value;
}

static void set64(struct device *device, u32 offset, const volatile void *address) {
  set(device, offset, (u64)address);
  set(device, offset + 4, (u64)address >> 32);
}

void virtio_fail(struct device *device, const char *what) {
  set(device, STATUS, get(device, STATUS) | FAILED);
  fail(what, device->base);
}

/* §4.2.3.1.1: magic and version come first, and id 0 means that no more may be touched. */
int virtio_probe(struct device *device, u64 base) {
  device->base = base;
  if (get(device, MAGIC_VALUE) != 0x74726976) return 0;
  u32 version = get(device, VERSION);
  device->id = get(device, DEVICE_ID);
  if (device->id && version != 2) fail("not a modern virtio-mmio device", base);
  return 1;
}

/* §3.1.1 steps 4 to 6. */
static void negotiate(struct device *device, u64 wanted) {
  u64 offered = 0;
  for (u32 half = 0; half < 2; half++) {
    set(device, DEVICE_FEATURES_SEL, half);
    offered |= (u64)get(device, DEVICE_FEATURES) << (32 * half);
  }
  if (!(offered & VIRTIO_F_VERSION_1)) virtio_fail(device, "VIRTIO_F_VERSION_1 is not offered");
  device->features = offered & (wanted | VIRTIO_F_VERSION_1);
  for (u32 half = 0; half < 2; half++) {
    set(device, DRIVER_FEATURES_SEL, half);
    set(device, DRIVER_FEATURES, device->features >> (32 * half));
  }
  set(device, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  if (!(get(device, STATUS) & FEATURES_OK)) virtio_fail(device, "FEATURES_OK was refused");
}

/* §4.2.3.2. */
static void configure_queue(struct device *device, u16 queue) {
  device->queue = queue;
  set(device, QUEUE_SEL, queue);
  if (get(device, QUEUE_READY)) virtio_fail(device, "the queue is in use after a reset");
  u32 max = get(device, QUEUE_SIZE_MAX);
  if (max < QUEUE_SIZE) virtio_fail(device, "the queue is missing or too small");
  device->avail.flags = AVAIL_F_NO_INTERRUPT;
  set(device, QUEUE_SIZE_SET, QUEUE_SIZE);
  set64(device, QUEUE_DESC_LOW, device->desc);
  set64(device, QUEUE_DRIVER_LOW, &device->avail);
  set64(device, QUEUE_DEVICE_LOW, &device->used);
  set(device, QUEUE_READY, 1);
}

/* §3.1.1 step by step; a reset is over when Status reads 0 (§2.4.2). */
void virtio_start(struct device *device, u64 features, u16 queue) {
  set(device, STATUS, 0);
  for (u64 begin = rdtsc(); get(device, STATUS) != 0;) {
    if (rdtsc() - begin > PATIENCE) virtio_fail(device, "the reset does not end");
  }
  set(device, STATUS, ACKNOWLEDGE);
  set(device, STATUS, ACKNOWLEDGE | DRIVER);
  negotiate(device, features);
  configure_queue(device, queue);
  set(device, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  if (get(device, STATUS) & NEEDS_RESET) virtio_fail(device, "DEVICE_NEEDS_RESET at the start");
}

/* §2.7.13, then §2.7.14. The chain always has the descriptors from 0 on: no other is in flight. */
u32 virtio_transfer(struct device *device, const struct buffer *buffers, u16 count) {
  for (u16 i = 0; i < count; i++) {
    u16 flags = buffers[i].use == DEVICE_WRITES ? DESC_F_WRITE : 0;
    if (i + 1 < count) flags |= DESC_F_NEXT;
    device->desc[i] = (struct virtq_desc){ (u64)buffers[i].data, buffers[i].len, flags, i + 1 };
  }
  u16 slot = device->next++ % QUEUE_SIZE;
  device->avail.ring[slot] = 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* §2.7.13.3.1: the entry before the index */
  device->avail.idx = device->next;
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* §2.7.13.4.1: the index before the flags */
  if (!(device->used.flags & USED_F_NO_NOTIFY)) set(device, QUEUE_NOTIFY, device->queue);

  for (u64 begin = rdtsc(); device->used.idx != device->next;) {
    if (rdtsc() - begin > PATIENCE) virtio_fail(device, "the device does not answer");
    __asm__ volatile("pause");
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (device->used.ring[slot].id != 0) virtio_fail(device, "a chain was used that was not sent");
  return device->used.ring[slot].len;
}

/* §2.7.10: until then it looks at the avail ring of its own accord. */
void virtio_wait_idle(struct device *device) {
  for (u64 begin = rdtsc(); device->used.flags & USED_F_NO_NOTIFY;) {
    if (rdtsc() - begin > PATIENCE) virtio_fail(device, "the device never wants a kick");
    __asm__ volatile("pause");
  }
}

/* §2.5.1, §4.2.2.2: 32 bits at a time, again if the generation moved. */
u64 virtio_config64(struct device *device, u32 offset) {
  for (int tries = 0; tries < 100; tries++) {
    u32 generation = get(device, CONFIG_GENERATION);
    u64 low = get(device, CONFIG + offset);
    u64 high = get(device, CONFIG + offset + 4);
    if (get(device, CONFIG_GENERATION) == generation) return high << 32 | low;
  }
  virtio_fail(device, "the configuration does not settle");
}
