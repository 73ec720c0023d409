// Thread: main
// The form of a manifest: one valibot schema, from which the JSON Schema for editors is made.

import * as v from "valibot";
import {
  CMDLINE_SIZE,
  MAX_CPUS,
  MAX_DEVICES,
  MAX_MEMORY,
  MIN_MEMORY,
} from "../memory/layout.ts";
import type { BuiltIn, Registry } from "./built_in.ts";
import {
  choice,
  flag,
  integer,
  list,
  object,
  oneOf,
  openObject,
  path,
  size,
  text,
  word,
} from "./fields.ts";
import { optionEntries } from "./options.ts";
import { quote } from "./text.ts";
import { MODULE, useMessage } from "./use.ts";
import { VHOST_USER, vhostUserEntries } from "./vhost_user.ts";

const PAGE = 4096;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
const NAME_FORM =
  '1 to 64 letters, digits, "_", "." or "-", the first no "." or "-"';

const cmdline = v.pipe(
  text(
    /^[\x20-\x7e]*$/,
    "words to add to the kernel's command line, printable ASCII",
  ),
  v.maxLength(
    CMDLINE_SIZE - 1,
    `must be at most ${CMDLINE_SIZE - 1} characters; shorten it`,
  ),
);

const debian = object(
  {
    use: word(
      "debian",
      '"debian", or give "kernel" or "flat" instead of "use"',
    ),
    cmdline: v.optional(cmdline, ""),
    script: v.optional(
      path("a shell script that the guest runs before it powers off"),
    ),
  },
  "what to boot",
  ["kernel", "flat"],
);

const kernel = object({
  kernel: path("the kernel's file, a bzImage or an ELF vmlinux"),
  initrd: v.optional(path("the initial RAM disk's file")),
  cmdline: v.optional(cmdline, ""),
  protocol: v.optional(
    oneOf(["auto", "linux64", "pvh"], "how the kernel is entered"),
    "auto",
  ),
}, "what to boot");

const flat = object(
  { flat: path("a flat image, loaded and entered at 1 MiB") },
  "what to boot",
);

const KINDS = [["use", debian], ["kernel", kernel], ["flat", flat]] as const;
const twoKinds = v.never(
  'must have one of "use", "kernel" and "flat"; remove the others',
);

const boot = v.pipe(
  choice(
    [debian, kernel, flat],
    'an object such as { "use": "debian" }, { "kernel": "./vmlinuz" } or { "flat": "./guest.bin" }',
    (input) => {
      const kinds = KINDS.filter(([key]) => Object.hasOwn(input, key));
      return kinds.length > 1 ? twoKinds : kinds[0]?.[1] ?? debian;
    },
  ),
  v.description("what to boot"),
);

const NO_FFI = "a device never gets ffi, which no permission confines; " +
  "remove this field";

const permissionEntries = {
  read: v.optional(
    list(path("a path"), "a list of paths that the device may read"),
  ),
  write: v.optional(
    list(path("a path"), "a list of paths that the device may write"),
  ),
  net: v.optional(
    list(
      text(/^[^\s,]+$/, 'a host such as "example.org:443"'),
      "a list of hosts that the device may reach",
    ),
  ),
  env: v.optional(
    list(
      text(/^[^\0=]+$/, "a variable's name"),
      "a list of environment variables that the device may read",
    ),
  ),
  run: v.optional(
    list(path("a program"), "a list of programs that the device may start"),
  ),
  import: v.optional(
    list(
      text(/^[^\s,]+$/, 'a host such as "jsr.io:443"'),
      "a list of hosts that the device may import modules from",
    ),
  ),
  ffi: v.optional(v.literal(false, NO_FFI)),
};
const permissionsObject = object(permissionEntries, "permissions");
const permissions = choice(
  [permissionsObject],
  'an object such as { "read": ["./data"] }',
  () => permissionsObject,
);

const virtioObject = object({
  transport: v.optional(
    oneOf(["modern", "legacy"], "the register layout of virtio-mmio"),
    "modern",
  ),
  ring: v.optional(
    oneOf(["split", "packed"], "the virtqueue format on offer"),
    "split",
  ),
  inOrder: v.optional(flag("offer VIRTIO_F_IN_ORDER"), false),
  notificationData: v.optional(
    flag("offer VIRTIO_F_NOTIFICATION_DATA"),
    false,
  ),
  kick: v.optional(
    oneOf(["exit", "ioeventfd"], "how a QueueNotify reaches the device"),
    "exit",
  ),
}, "how the device speaks virtio");
const virtio = choice(
  [virtioObject],
  'an object such as { "ring": "packed" }',
  () => virtioObject,
);

const INTEGRITY = 'a hash such as "sha256-…", or false to take whatever comes';
const notIntegrity = ({ input }: v.BaseIssue<unknown>) =>
  `must be ${INTEGRITY}, not ${quote(input)}`;
const integrity = v.pipe(
  v.union(
    [
      v.pipe(v.string(), v.regex(/^sha256-[A-Za-z0-9+/]{43}=$/, notIntegrity)),
      v.literal(false),
    ],
    notIntegrity,
  ),
  v.description(`what a remote module must be: ${INTEGRITY}`),
);

const deviceEntries = {
  name: v.optional(text(NAME, `the device's name, ${NAME_FORM}`)),
  virtio: v.optional(virtio),
  permissions: v.optional(permissions),
  isolation: v.optional(
    oneOf(
      ["worker", "process"],
      "whether the device shares the machine's process or has its own",
    ),
  ),
};

const vhostUserDevice = object(
  {
    ...vhostUserEntries,
    name: deviceEntries.name,
    virtio: deviceEntries.virtio,
  },
  "a device",
);

function builtInDevice(use: string, { options }: BuiltIn) {
  return object(
    {
      use: word(use, `the built-in ${use} device`),
      ...deviceEntries,
      ...optionEntries(options),
    },
    "a device",
  );
}

function device(registry: Registry) {
  const names = [...registry.keys(), VHOST_USER];
  const message = ({ input }: v.BaseIssue<unknown>) => useMessage(input, names);
  const module = openObject({
    use: v.pipe(
      v.string(message),
      v.regex(MODULE, message),
      v.description(`${names.map((n) => `"${n}"`).join(", ")} or a module`),
    ),
    integrity: v.optional(integrity),
    ...deviceEntries,
  }, "a device");
  const builtIns = new Map<unknown, ReturnType<typeof builtInDevice>>();
  for (const [use, entry] of registry) {
    builtIns.set(use, builtInDevice(use, entry));
  }
  return choice<
    v.GenericSchema<
      v.InferInput<typeof module> | v.InferInput<typeof vhostUserDevice>,
      v.InferOutput<typeof module>
    >
  >(
    [...builtIns.values(), vhostUserDevice, module],
    'an object such as { "use": "console" }',
    ({ use }) =>
      use === VHOST_USER ? vhostUserDevice : builtIns.get(use) ?? module,
  );
}

/** The schema of a whole manifest; devices are checked against the registry's options. */
export function manifestSchema(registry: Registry) {
  return object({
    $schema: v.optional(v.string("must be the path of the JSON Schema")),
    name: v.optional(text(NAME, `the machine's name, ${NAME_FORM}`), "vm"),
    cpus: v.optional(integer(1, MAX_CPUS, "the number of CPUs"), 1),
    memory: v.optional(
      size(MIN_MEMORY, MAX_MEMORY, PAGE, "the size of the memory"),
      "512M",
    ),
    boot: v.optional(boot, { use: "debian" }),
    devices: v.optional(
      v.pipe(
        v.array(
          device(registry),
          ({ input }) =>
            `must be a list such as [{ "use": "console" }], not ${
              quote(input)
            }`,
        ),
        v.maxLength(
          MAX_DEVICES,
          `must be at most ${MAX_DEVICES} devices, one an interrupt line; remove some`,
        ),
        v.description("the machine's virtio devices"),
      ),
      [],
    ),
    serial: v.optional(
      flag("the serial port's output (ttyS0) goes to the console"),
      true,
    ),
  }, "the manifest");
}

/** A manifest that has the right form, with defaults; files are not yet looked at. */
export type CheckedManifest = v.InferOutput<ReturnType<typeof manifestSchema>>;
