// Thread: main | queue
// Traces of register accesses, rings and interrupts. Each is a wrapper that is there only when it is asked for.
import type { Later, RegionOps } from "../bus/address_space.ts";
import type { DescriptorChain } from "./chain.ts";
import {
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_STATUS,
} from "./constants.ts";
import { decodeValue, registerName } from "./registers.ts";
import type { Virtqueue } from "./virtqueue.ts";

export const TRACE_KINDS = ["mmio", "ring", "irq"] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];

/** One event; plain data. */
export type TraceEvent =
  | {
    readonly kind: "mmio";
    readonly operation: "read" | "write";
    readonly register: string;
    readonly offset: number;
    readonly size: number;
    readonly value: number;
    /** What the value means, or "". */
    readonly meaning: string;
  }
  | {
    readonly kind: "ring";
    readonly operation: "pop" | "used";
    readonly queue: number;
    readonly head: number;
    /** Bytes that the device may read and write, or has written. */
    readonly readable: number;
    readonly writable: number;
  }
  | {
    readonly kind: "irq";
    readonly operation: "interrupt";
    /** The queue that was used, or none where configuration changed or the device needs a reset. */
    readonly queue: number | null;
  }
  /** So many events of any kind were left out before this one. */
  | { readonly kind: "lost"; readonly count: number };

export type TraceSink = (event: TraceEvent) => void;

/** Events in a second: more than anybody reads, and no load for whoever they go to. */
const MOST_TRACED = 10_000;
/** The longest name of a register, and the longest meaning of a value. */
const MAX_TEXT = 200;

/** Leaves out what comes faster than it can be told, and says how much that was. */
export function limitTrace(sink: TraceSink): TraceSink {
  let since = 0;
  let told = 0;
  let lost = 0;
  return (event) => {
    const now = performance.now();
    if (now - since >= 1000) {
      since = now;
      told = 0;
    }
    if (++told > MOST_TRACED) return void lost++;
    if (lost > 0) sink({ kind: "lost", count: lost });
    lost = 0;
    sink(event);
  };
}

/** A register file that tells each access with its answer. */
export function traceRegisters(target: RegionOps, sink: TraceSink): RegionOps {
  // Which words of the features are selected: 0 after a reset.
  const selected = { device: 0, driver: 0 };
  const follow = (offset: number, value: number) => {
    if (offset === VIRTIO_MMIO_DEVICE_FEATURES_SEL) selected.device = value;
    if (offset === VIRTIO_MMIO_DRIVER_FEATURES_SEL) selected.driver = value;
    if (offset === VIRTIO_MMIO_STATUS && value === 0) {
      selected.device = selected.driver = 0;
    }
  };
  const tell = (
    operation: "read" | "write",
    offset: number,
    size: number,
    value: number,
  ) => {
    if (operation === "write") follow(offset, value);
    const { device, driver } = selected;
    const select = offset === VIRTIO_MMIO_DEVICE_FEATURES ? device : driver;
    sink({
      kind: "mmio",
      operation,
      register: registerName(offset),
      offset,
      size,
      value,
      meaning: decodeValue(offset, value, select),
    });
  };
  return {
    sizes: target.sizes,
    tooWide: (...access) => target.tooWide?.(...access),
    async read(offset, size) {
      const value = await target.read(offset, size);
      tell("read", offset, size, value);
      return value;
    },
    write(offset, size, value): Later<void> {
      tell("write", offset, size, value);
      return target.write(offset, size, value);
    },
  };
}

/** A virtqueue that tells what is popped and used. */
export function traceQueue(
  target: Virtqueue,
  queue: number,
  sink: TraceSink,
): Virtqueue {
  const tell = (
    operation: "pop" | "used",
    head: number,
    readable: number,
    writable: number,
  ) => sink({ kind: "ring", operation, queue, head, readable, writable });
  return {
    size: target.size,
    get position() {
      return target.position;
    },
    pop() {
      const chain = target.pop();
      if (chain !== null) {
        tell("pop", chain.head, chain.readable.remaining, chain.capacity);
      }
      return chain;
    },
    addUsed(chain: DescriptorChain, written: number) {
      target.addUsed(chain, written);
      tell("used", chain.head, 0, written);
    },
    needsInterrupt: () => target.needsInterrupt(),
    disableNotifications: () => target.disableNotifications(),
    enableNotifications: () => target.enableNotifications(),
  };
}

/** Whether what a worker or a process sent is a trace event: its code can send anything. */
export function isTrace(event: unknown): event is TraceEvent {
  if (typeof event !== "object" || event === null) return false;
  const { kind, operation, ...values } = event as Record<string, unknown>;
  const isOne = (...known: unknown[]) => known.includes(operation);
  const hasNumbers = (...names: string[]) =>
    names.every((name) => Number.isSafeInteger(values[name]));
  const isText = (value: unknown) =>
    typeof value === "string" && value.length <= MAX_TEXT;
  switch (kind) {
    case "mmio":
      return isOne("read", "write") && hasNumbers("offset", "size", "value") &&
        isText(values.register) && isText(values.meaning);
    case "ring":
      return isOne("pop", "used") &&
        hasNumbers("queue", "head", "readable", "writable");
    case "irq":
      return isOne("interrupt") &&
        (values.queue === null || hasNumbers("queue"));
    case "lost":
      return hasNumbers("count");
    default:
      return false;
  }
}

/** One line for people: "block0  write Status = 0x0b ACKNOWLEDGE|DRIVER|FEATURES_OK". */
export function formatTrace(device: string, event: TraceEvent): string {
  const head = `${event.kind.padEnd(4)}  ${device.padEnd(10)}  `;
  switch (event.kind) {
    case "mmio": {
      const { operation, register, size, value, meaning } = event;
      const hex = `0x${value.toString(16).padStart(2 * size, "0")}`;
      return `${head}${operation.padEnd(5)} ${register} = ${hex} ${meaning}`
        .trimEnd();
    }
    case "ring": {
      const { operation, queue, head: id, readable, writable } = event;
      const bytes = operation === "pop"
        ? `${readable} bytes to read, ${writable} to write`
        : `${writable} bytes written`;
      return `${head}${
        operation.padEnd(5)
      } queue ${queue} head ${id}, ${bytes}`;
    }
    case "irq":
      return event.queue === null
        ? `${head}interrupt for configuration`
        : `${head}interrupt for queue ${event.queue}`;
    case "lost":
      return `${head}${event.count} events came too fast to be told`;
  }
}
