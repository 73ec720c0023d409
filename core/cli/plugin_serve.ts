// Thread: main
// `paddock plugin serve`: one device for another VMM, by vhost-user, in this process.
import { HostDisk } from "../device/host_disk.ts";
import { prepareDevice } from "../device/prepare_device.ts";
import { type DeviceError, ManifestError } from "../errors.ts";
import type {
  DiskConfig,
  PermissionSet,
  Registry,
} from "../manifest/built_in.ts";
import type { VirtioConfig } from "../manifest/config.ts";
import { resolve } from "../manifest/paths.ts";
import { quote } from "../manifest/text.ts";
import type { Declaration } from "../virtio/device_host.ts";
import { BackEnd } from "../vhost_user/back_end.ts";
import { claimSocket, removeSocket } from "../vhost_user/claim_socket.ts";
import { EndSignals } from "../vhost_user/end_signals.ts";
import { Listener } from "../vhost_user/listener.ts";
import type { ArgsOf } from "./args.ts";
import { printNote } from "./output.ts";
import { findModule, grantLine } from "./plugin_module.ts";

export interface ServeOptions {
  /** What messages call the device. */
  readonly name: string;
  /** URL of the device's module. */
  readonly module: string;
  readonly builtIn: boolean;
  /** Plain data for the module, complete, paths absolute. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly grants: PermissionSet;
  /** The image that is opened, created and locked for the device. */
  readonly disk?: DiskConfig | undefined;
  /** Path of the socket to listen at, for this user only. */
  readonly socket: string;
}

/** All that there is, so that the front end chooses. */
const VIRTIO: VirtioConfig = {
  transport: "modern",
  ring: "packed",
  inOrder: true,
  notificationData: false,
  kick: "exit",
};

const BLOCK = 2;
/** QEMU's devices that take such a back end, by virtio device id. */
const QEMU_DEVICES: Readonly<Record<number, string>> = {
  [BLOCK]: "vhost-user-blk-pci,num-queues=1",
  4: "vhost-user-rng-pci",
  18: "vhost-user-input-pci",
  34: "vhost-user-i2c-pci",
  41: "vhost-user-gpio-pci",
};

/** Serves a device with the options of the command line, and what it asks for. */
export async function pluginServe(
  args: ArgsOf<"plugin serve">,
  registry: Registry,
): Promise<number> {
  const { name, module, builtIn } = findModule(args.module, registry);
  const { options } = args;
  const prepared = await prepareDevice(
    module,
    builtIn,
    options,
    "--options",
    args.permissions,
  );
  if (typeof prepared === "string") {
    throw new ManifestError("", `${quote(module)} ${prepared}`);
  }
  const { permissions: grants, ...rest } = prepared;
  printNote(grantLine(name, grants));
  return await servePlugin({
    name,
    module,
    builtIn: builtIn !== undefined,
    grants,
    socket: resolve(args.socket),
    ...rest,
  });
}

/**
 * Serves front ends one after the other until SIGTERM or SIGINT; the exit status is 0 then. Throws a HostError where
 * the socket is in use, a ManifestError for a disk that cannot be had, a DeviceError for a device that failed for good.
 */
export async function servePlugin(options: ServeOptions): Promise<number> {
  const { name, disk: image, socket } = options;
  // From before there is a socket to remove.
  using end = new EndSignals();
  using disk = image === undefined ? undefined : new HostDisk(image, name);
  using listener = new Listener(claimSocket(socket));
  try {
    await using backEnd = new BackEnd({
      ...options,
      virtio: VIRTIO,
      trace: [],
      onTrace: () => {},
      punchHole: (offset, length) => disk?.punchHole(offset, length) ?? false,
      onDriverError: (_section, message) => printNote(`${name}: ${message}`),
      onFault: ({ message }: DeviceError) => printNote(message),
      onLog: (message) => printNote(`${name}: ${message}`),
      onViolation: (message) => printNote(`${name}: its front end ${message}`),
    });
    await backEnd.start();
    printNote(attachLine(name, socket, backEnd.host.declaration!));
    end.act(() => {
      listener.close();
      backEnd.hangUp();
    });
    await backEnd.serveAll(listener);
    return 0;
  } finally {
    removeSocket(socket);
  }
}

/** One line: how a guest of QEMU gets the device. */
export function attachLine(
  name: string,
  socket: string,
  { id, queues }: Declaration,
): string {
  const device = QEMU_DEVICES[id] ??
    `vhost-user-device-pci,virtio-id=${id},num_vqs=${queues.length}`;
  // Of QEMU's devices only this one waits for a connection that is made again when it is lost.
  const reconnect = id === BLOCK ? ",reconnect=1" : "";
  return [
    `Serving ${name} at ${quote(socket)}; attach QEMU with`,
    "-object memory-backend-memfd,id=ram,size=1G,share=on -m 1G -machine memory-backend=ram",
    `-chardev socket,id=${name},path=${socket}${reconnect}`,
    `-device ${device},chardev=${name}`,
  ].join(" ");
}
