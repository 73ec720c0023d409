// Thread: main
// Connects to the programs that serve a VM's devices before the machine is assembled: what is wrong is said while
// nothing runs.
import type { OpenQueueEvents } from "../device/kick_path.ts";
import type { HostElsewhere } from "../device/device_set.ts";
import { ManifestError, SysError, VhostUserError } from "../errors.ts";
import type { BackEndConfig, DeviceConfig } from "../manifest/config.ts";
import { quote } from "../manifest/text.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import { BackEndLink, type OpenedBackEnd } from "./back_end_link.ts";
import { Connection } from "./connection.ts";
import { VhostUserHost } from "./front_end.ts";
import type { BackEndMemory } from "./front_rings.ts";

/** Connects to what serves the device with this index, at this path. */
export type ConnectTo = (
  index: number,
  path: string,
) => UnixSocket | Promise<UnixSocket>;

interface Attached {
  readonly link: BackEndLink;
  /** Absent for one that is still starting. */
  readonly opened?: OpenedBackEnd;
}

/** The back ends of one VM, each connected. */
export class BackEnds implements Disposable {
  readonly #attached: ReadonlyMap<number, Attached>;

  private constructor(attached: ReadonlyMap<number, Attached>) {
    this.#attached = attached;
  }

  /** Throws a ManifestError for one that is not there, or does not fit. */
  static async attach(
    devices: readonly DeviceConfig[],
    connectTo: ConnectTo = (_, path) => UnixSocket.connect(path),
  ): Promise<BackEnds> {
    const attached = new Map<number, Attached>();
    const backEnds = new BackEnds(attached);
    try {
      for (const device of devices) {
        if (device.backEnd === undefined) continue;
        attached.set(
          device.index,
          await attach(device, device.backEnd, connectTo),
        );
      }
      return backEnds;
    } catch (error) {
      backEnds[Symbol.dispose]();
      throw error;
    }
  }

  get isEmpty(): boolean {
    return this.#attached.size === 0;
  }

  /** What makes the hosts of these devices; `openQueue` gets a device's index in front of the queue's. */
  hosts(
    memory: BackEndMemory | null,
    openQueue: (
      device: number,
      ...rest: Parameters<OpenQueueEvents>
    ) => ReturnType<OpenQueueEvents>,
  ): HostElsewhere {
    return (wiring) => {
      const attached = this.#attached.get(wiring.index);
      if (attached === undefined || memory === null) return undefined;
      return new VhostUserHost({
        ...wiring,
        ...attached,
        memory,
        openQueue: (...queue) => openQueue(wiring.index, ...queue),
      });
    };
  }

  /** Hangs up, unless a host has done so. */
  [Symbol.dispose](): void {
    for (const { opened } of this.#attached.values()) {
      opened?.session.end(new VhostUserError("is needed no more"));
    }
  }
}

async function attach(
  { index, virtio }: DeviceConfig,
  { socket, queues, starting, ...device }: BackEndConfig,
  connectTo: ConnectTo,
): Promise<Attached> {
  if (virtio.notificationData) {
    throw new ManifestError(
      `devices[${index}].virtio.notificationData`,
      "cannot be had: kicks reach this device by eventfds, which carry no data; remove it",
    );
  }
  const link = new BackEndLink({
    connect: async () => new Connection(await connectTo(index, socket)),
    device: {
      ...device,
      queues: queues.map((size, i) => ({ name: `${i}`, size })),
    },
    virtio,
  });
  if (starting) return { link };
  try {
    return { link, opened: await link.open() };
  } catch (error) {
    throw new ManifestError(
      `devices[${index}].socket`,
      problemWith(socket, error),
      { cause: error },
    );
  }
}

function problemWith(socket: string, error: unknown): string {
  if (error instanceof VhostUserError) {
    return `the program at ${quote(socket)} ${error.message}`;
  }
  if (error instanceof SysError) {
    return `${error.message}; start the program that serves the device`;
  }
  throw error;
}
