// Thread: main
// The manifest that `paddock init` writes, which is also what runs where there is none.

/** JSON with comments; every field that has a default shows it. */
export function defaultManifest(): string {
  return DEFAULT_MANIFEST;
}

const DEFAULT_MANIFEST = `{
  "$schema": "./vm.schema.json",
  "name": "vm",
  "cpus": 1,
  "memory": "512M",

  // Debian's stock kernel, fetched once. Your own: { "kernel": "./vmlinuz", "initrd": "./initrd" }
  "boot": { "use": "debian" },

  // Virtio devices. "use" names a built-in or a module: { "use": "./my_device.ts" };
  // a module may only do what its "permissions" say, such as { "read": ["./data"] }.
  "devices": [
    { "use": "console" },
    // Created where it is missing; takes no space until it is written to.
    { "use": "block", "path": "disk.img", "size": "64M" },
    { "use": "rng" }
  ]
}
`;
