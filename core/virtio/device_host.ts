// Thread: main
// A device as its transport sees it, wherever it runs: a worker here, a process, another program behind a socket.
import type { DevicePort } from "../plugin.ts";

/** A feature's bit, and the bit of one that a driver must accept with it. */
export type FeatureNeed = readonly [feature: number, needed: number];

/** What a device says of itself; plain data, checked by main before anything believes it. */
export interface Declaration {
  readonly id: number;
  readonly features: readonly number[];
  /** Which of them mean nothing without which other (virtio-v1.3 §2.2.1). */
  readonly needs: readonly FeatureNeed[];
  readonly queues: readonly { readonly name: string; readonly size: number }[];
  readonly config: Uint8Array;
}

/** Switches the kicks of one device. A kick that comes while it switches arrives by one path or the other. */
export interface DeviceKicks {
  enable(queues: readonly number[]): void;
  disable(): void;
}

export interface DeviceHost {
  readonly name: string;
  readonly index: number;
  /** See device_page.ts. */
  readonly page: SharedArrayBuffer;
  /** Resolves once, when the device has declared itself or failed to. */
  readonly declared: Promise<void>;
  /** Null until then. A device that failed to has id 0. */
  readonly declaration: Declaration | null;
  /** Feature words that the driver is offered: the device's own and the core's. */
  readonly offered: readonly [number, number];
  /** Whether the driver may use the device; if not, only a reset may bring it back. */
  readonly usable: boolean;
  /** Failed for good: a thread that does not answer cannot be killed, and may still have its files open. */
  readonly failed: boolean;
  /** Where kicks come by ioeventfd: the switch, turned on at DRIVER_OK and off by the reset. */
  readonly kicks: DeviceKicks | undefined;
  /** The holder's end of the device's messages. It stays when the device starts again. */
  readonly port: DevicePort;
  /** Called when the vCPU already runs. */
  start(): void;
  /** Has the device obey a command of device_page.ts, one after the other. False when it could not. */
  command(command: number, ...args: readonly number[]): Promise<boolean>;
  /** The driver's reset: stops the device (`command`, unless null), and starts one that died anew. */
  reset(command: number | null): Promise<void>;
  /** Sets DEVICE_NEEDS_RESET; the reset starts the device's code anew with these options, and until then the old goes on. */
  reload(options: Readonly<Record<string, unknown>>): void;
  /** Ends the device: in-flight requests first, then its files. */
  close(): Promise<void>;
}
