// Thread: any
// The sections of virtio-v1.3 that diagnoses cite: what each asks of a driver, in a sentence or two of our own.

export interface Clause {
  readonly section: string;
  readonly title: string;
  readonly asks: string;
}

export const CLAUSES: readonly Clause[] = [
  {
    section: "2.1.1",
    title: "Driver Requirements: Device Status Field",
    asks:
      "A driver sets status bits and clears none; only a reset (Status = 0) takes them back. " +
      "After FAILED or DEVICE_NEEDS_RESET it must reset the device before it goes on.",
  },
  {
    section: "2.2.1",
    title: "Driver Requirements: Feature Bits",
    asks:
      "A driver accepts only features that the device offers, and none that needs another one it did not accept.",
  },
  {
    section: "2.5.1",
    title: "Driver Requirements: Device Configuration Space",
    asks:
      "Fields are read and written with their own width and alignment, inside the configuration space that the device has; " +
      "fields wider than 32 bits are read between two equal values of ConfigGeneration.",
  },
  {
    section: "2.6.1",
    title: "Virtqueue Reset",
    asks:
      "QueueReset may be written only when VIRTIO_F_RING_RESET was negotiated, and only with 1. " +
      "The queue is the driver's again when the write is done; QueueReady gives it back.",
  },
  {
    section: "2.7",
    title: "Split Virtqueues",
    asks:
      "The queue size is a power of two up to 32768. The descriptor table is aligned to 16, the avail ring to 2, the used ring to 4; " +
      "all lie in guest RAM, and what the device writes overlaps nothing.",
  },
  {
    section: "2.7.4",
    title: "Message Framing",
    asks:
      "A request has all the bytes that its header announces, however they are spread over descriptors.",
  },
  {
    section: "2.7.4.2",
    title: "Driver Requirements: Message Framing",
    asks:
      "Descriptors that the device writes come after all those that it reads.",
  },
  {
    section: "2.7.5",
    title: "The Virtqueue Descriptor Table",
    asks:
      "Each descriptor's buffer is in guest RAM; next is below the queue size; a chain does not loop, " +
      "is no longer than the queue, and is at most 2^32 bytes in all.",
  },
  {
    section: "2.7.5.3",
    title: "Indirect Descriptors",
    asks:
      "The indirect table is in guest RAM and its descriptors are 16 bytes each.",
  },
  {
    section: "2.7.5.3.1",
    title: "Driver Requirements: Indirect Descriptors",
    asks:
      "INDIRECT is used only when negotiated, never together with NEXT and never inside an indirect table; " +
      "the table's length is a multiple of 16 and has no more entries than the queue.",
  },
  {
    section: "2.7.6",
    title: "The Virtqueue Available Ring",
    asks:
      "Each entry of the avail ring is the head of a chain: an index below the queue size, of a chain that the device does not hold already.",
  },
  {
    section: "2.7.10.1",
    title: "Driver Requirements: Available Buffer Notification Suppression",
    asks:
      "A driver sets the flags of the used ring to 0 when it allocates the ring; from then on they are the device's.",
  },
  {
    section: "2.7.13.3",
    title: "Updating idx",
    asks:
      "avail idx grows by the number of chains that were added, so it is never ahead of the device by more than the queue size.",
  },
  {
    section: "2.8.4",
    title: "Packed Virtqueues: Element Address and Length",
    asks: "Each descriptor's buffer is in guest RAM.",
  },
  {
    section: "2.8.7",
    title: "Packed Virtqueues: Indirect Flag: Scatter-Gather Support",
    asks:
      "The indirect table is in guest RAM, and its length is a multiple of 16.",
  },
  {
    section: "2.8.10.1",
    title: "Packed Virtqueues: Structure Size and Alignment",
    asks:
      "The queue size is 1 to 32768; the descriptor ring is aligned to 16, the event areas to 4.",
  },
  {
    section: "2.8.17",
    title: "Packed Virtqueues: Driver Requirements: Scatter-Gather Support",
    asks:
      "A list of descriptors has no more of them than the queue, readable ones come first, and all together have at most 2^32 bytes.",
  },
  {
    section: "2.8.19",
    title: "Packed Virtqueues: Driver Requirements: Indirect Descriptors",
    asks:
      "INDIRECT is used only when negotiated, and for a list of one descriptor; " +
      "the table has no more entries than the queue.",
  },
  {
    section: "2.8.21.1",
    title: "Placing Available Buffers Into The Descriptor Ring",
    asks:
      "A list of descriptors has a buffer id below the queue size that is not in use.",
  },
  {
    section: "3.1.1",
    title: "Driver Requirements: Device Initialization",
    asks:
      "The order is: reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK (read back), queues, DRIVER_OK. " +
      "Features and configuration are read after DRIVER, configuration is written after FEATURES_OK.",
  },
  {
    section: "4.2.2.2",
    title: "Driver Requirements: MMIO Device Register Layout",
    asks:
      "Control registers take aligned 32-bit accesses. Read-only ones are not written, write-only ones not read. " +
      "Queue registers are written for a queue that exists and while its QueueReady is 0; QueueSize is up to QueueSizeMax.",
  },
  {
    section: "4.2.3.2",
    title: "Virtqueue Configuration",
    asks:
      "A queue is configured in this order: QueueSel, QueueReady reads 0, QueueSizeMax is not 0, QueueSize, the three addresses, QueueReady = 1.",
  },
  {
    section: "4.2.4",
    title: "Legacy interface",
    asks:
      "GuestPageSize first; for each queue QueueSel, QueueNum, QueueAlign, then QueuePFN, which puts the queue there. Sizes are powers of two.",
  },
  {
    section: "6.1",
    title: "Driver Requirements: Reserved Feature Bits",
    asks:
      "A driver must accept VIRTIO_F_VERSION_1 where it is offered; a device may refuse to go on without it.",
  },
];

/** The clause with exactly this section, or null. */
export function findClause(section: string): Clause | null {
  return CLAUSES.find((clause) => clause.section === section) ?? null;
}
