// Thread: main
// A plugin in its real worker behind its real register file, and a machine around it that has no CPU: no KVM is needed.
import { createIrqPage } from "../device/irq_page.ts";
import { WorkerHost } from "../device/worker_host.ts";
import type { DeviceError } from "../errors.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import { DEVICE_NEEDS_RESET } from "../virtio/constants.ts";
import { STATUS, type Words, wordsOf } from "../virtio/device_page.ts";
import { MmioTransport } from "../virtio/mmio_transport.ts";
import { GuestRam } from "./guest_ram.ts";

/** How long the device may take to declare itself, and to obey a command. */
export const BUDGET_MS = 5000;
/** Looks at least this often, for what comes without an interrupt. */
const LOOK_MS = 5;
/** Words of the irq page (core/device/irq_page.ts). */
const IRQ_DOORBELL = 0;
const IRQ_WAITING = 1;
const NAME = "plugin";

export interface MachineOptions {
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly permissions: PermissionSet;
}

/** A DriverError, of the device's rings or of the device itself. */
export interface Blame {
  readonly section: string;
  readonly message: string;
}

export class Machine {
  readonly ram = new GuestRam();
  readonly host: WorkerHost;
  readonly words: Words;
  /** What the device was blamed for, with file and line. */
  faults: string[] = [];
  /** What the driver was blamed for by the device, and by its registers, which it uses as it may. */
  blames: Blame[] = [];
  violations: string[] = [];
  /** Messages and lines of log that the device sent. */
  posted = 0;
  onMessage: (data: unknown) => void = () => {};
  readonly #transport: MmioTransport;
  readonly #irq: Words;

  constructor({ module, options, permissions }: MachineOptions) {
    const irqPage = createIrqPage();
    this.#irq = new Int32Array(irqPage);
    // As if the irq worker slept: each request notifies.
    this.#irq[IRQ_WAITING] = 1;
    this.host = new WorkerHost({
      name: NAME,
      index: 0,
      module,
      builtIn: false,
      options,
      grants: permissions,
      virtio: {
        transport: "modern",
        ring: "packed", // beside split ones: the driver chooses
        inOrder: false,
        notificationData: false,
        kick: "exit",
      },
      trace: [],
      onTrace: () => {},
      ram: this.ram.shared,
      irqPage,
      punchHole: () => false,
      onDriverError: (section, message) =>
        this.blames.push({ section, message }),
      onFault: (error) => this.faults.push(ownWords(error)),
      needsReset: () => Atomics.or(this.words, STATUS, DEVICE_NEEDS_RESET),
      onLog: () => this.posted++,
      budgetMs: BUDGET_MS,
      startMs: BUDGET_MS,
    });
    this.words = wordsOf(this.host.page);
    this.host.port.onmessage = (data) => {
      this.posted++;
      this.onMessage(data);
    };
    this.#transport = new MmioTransport(
      this.host,
      (_section, message) => this.violations.push(message),
    );
  }

  async read(offset: number, size = 4): Promise<number> {
    return await this.#transport.read(offset, size);
  }

  async write(offset: number, value: number, size = 4): Promise<void> {
    await this.#transport.write(offset, size, value);
  }

  get needsReset(): boolean {
    return (Atomics.load(this.words, STATUS) & DEVICE_NEEDS_RESET) !== 0;
  }

  /** Whether the condition came true within `ms`, which a device that is given up does not wait for. */
  async until(condition: () => boolean, ms: number): Promise<boolean> {
    const deadline = performance.now() + ms;
    for (;;) {
      const seen = Atomics.load(this.#irq, IRQ_DOORBELL);
      if (condition()) return true;
      if (performance.now() > deadline || this.host.failed) return false;
      const bell = Atomics.waitAsync(this.#irq, IRQ_DOORBELL, seen, LOOK_MS);
      // A timer too, because a pending waitAsync does not keep the process alive.
      const look = Promise.withResolvers<void>();
      const timer = setTimeout(look.resolve, LOOK_MS);
      if (bell.async) await Promise.race([bell.value, look.promise]);
      clearTimeout(timer);
    }
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** There is one device only, which needs no name, and no manifest; where in the core it was noticed helps no author. */
function ownWords({ message, device }: DeviceError): string {
  const core = new URL("../", import.meta.url).href;
  const at = message.lastIndexOf(" at ");
  const place = at > 0 && message.slice(at).includes(core);
  return message.slice(0, place ? at : undefined)
    .replace(`device ${device}: `, "")
    .replace(/; grant it in the manifest: "permissions": \{.*?\}/, "");
}
