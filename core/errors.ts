// Thread: any
// Error classes that keep their data; the CLI turns them into one line and an exit status.

/** A system call or ioctl failed. `errno` is the positive Linux error number. */
export class SysError extends Error {
  override readonly name = "SysError";
  constructor(readonly call: string, readonly errno: number, hint?: string) {
    super(`${call} failed: ${errnoName(errno)}${hint ? `; ${hint}` : ""}`);
  }
}

/**
 * The manifest, or a file it names, cannot be used. `path` is the field ("devices[1].path").
 * The message is one line that names the field and the remedy; the CLI exits with status 2.
 */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
  constructor(readonly path: string, problem: string, options?: ErrorOptions) {
    super(path === "" ? problem : `${path}: ${problem}`, options);
  }
}

/** The host cannot run this VM (no /dev/kvm, a missing capability, too little memory). */
export class HostError extends Error {
  override readonly name = "HostError";
}

/** A device's code (never the guest's driver) broke its contract or failed. */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
  /** The device could not start with the machine: the driver has not seen it. */
  readonly absent: boolean;
  constructor(
    readonly device: string,
    problem: string,
    { absent = false, ...options }: ErrorOptions & { absent?: boolean } = {},
  ) {
    super(`device ${device}: ${problem}`, options);
    this.absent = absent;
  }
}

/** The guest's driver broke the specification; `section` cites the clause. Never ends the VM. */
export class DriverError extends Error {
  override readonly name = "DriverError";
  /** The virtqueue's name, where one is to blame. */
  queue: string | undefined;
  constructor(readonly section: string, problem: string) {
    super(`${problem} (virtio-v1.3 §${section})`);
  }
}

/** The other side of a vhost-user connection broke the protocol, or cannot be reached. Ends that connection only. */
export class VhostUserError extends Error {
  override readonly name = "VhostUserError";
}

const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM, not permitted",
  2: "ENOENT, no such file",
  4: "EINTR, interrupted",
  5: "EIO, input/output error",
  6: "ENXIO, no such device",
  7: "E2BIG, too big",
  9: "EBADF, bad file descriptor",
  11: "EAGAIN, would block",
  12: "ENOMEM, out of memory",
  13: "EACCES, permission denied",
  14: "EFAULT, bad address",
  16: "EBUSY, busy",
  17: "EEXIST, exists already",
  19: "ENODEV, no such device",
  21: "EISDIR, is a directory",
  22: "EINVAL, invalid argument",
  24: "EMFILE, too many open files",
  25: "ENOTTY, not supported by this device",
  27: "EFBIG, file too large",
  28: "ENOSPC, no space left",
  30: "EROFS, read-only file system",
  36: "ENAMETOOLONG, name too long",
  38: "ENOSYS, not implemented",
  95: "EOPNOTSUPP, not supported",
  98: "EADDRINUSE, address in use",
  111: "ECONNREFUSED, nobody listens there",
  122: "EDQUOT, quota exceeded",
};

/** "EBUSY, busy" for 16; "errno 999" for what the table does not hold. */
export function errnoName(errno: number): string {
  return ERRNO[errno] ?? `errno ${errno}`;
}

/** One line for what a device threw, and where: in the module's own folder if the stack names it. */
export function describeError(error: unknown, module?: string): string {
  if (!(error instanceof Error)) return String(error);
  const folder = module?.replace(/[^/]*$/, "") || "file://";
  const frames = error.stack?.split("\n") ?? [];
  const at = (frames.find((line) => line.includes(folder)) ??
    frames.find((line) => line.includes("file://")))?.trim();
  const message = error.message.replace(
    /, run again with the --allow-([a-z]+) flag[^]*/,
    (_, kind) =>
      kind === "ffi"
        ? ", which no device gets"
        : `; grant it in the manifest: "permissions": { "${kind}": […] }`,
  );
  return at === undefined ? message : `${message} ${at}`;
}
