// Imports flow one way, and every file says where it runs.

import { assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

/** What may import what: a file may import from its own entry and from those above it. */
const LAYERS: readonly (readonly string[])[] = [
  ["core/errors.ts", "core/log.ts"],
  ["core/sys/"],
  ["core/memory/"],
  ["core/kvm/", "core/manifest/"],
  ["core/arch/", "core/bus/", "core/sandbox/"],
  ["core/virtio/"],
  ["core/plugin.ts"],
  ["core/device/", "core/vcpu/"],
  ["core/vhost_user/"],
  ["core/image/"],
  // Joins the manifest with the built-in devices and the cache folder.
  ["core/manifest/source.ts"],
  ["core/machine.ts"],
  ["core/vm_backend.ts"],
  ["core/prepare_vm.ts", "core/vm_messages.ts", "core/emit_cache.ts"],
  ["core/local_vm.ts", "core/vm_filter.ts"],
  ["core/vm_link.ts"],
  ["core/remote_vm.ts"],
  ["core/vm_process.ts"],
  ["core/vm.ts"],
  ["core/conformance/"],
  ["core/mod.ts", "core/cli/"],
];

/** Type-only imports that run backwards: what a host carries between a device and its holder. */
const BACKWARDS_TYPES = ["core/virtio/device_host.ts → core/plugin.ts"];

interface Import {
  readonly from: string;
  /** A path from the repository's root, or a specifier that is not a path. */
  readonly to: string;
  readonly typeOnly: boolean;
  readonly dynamic: boolean;
}

const files = findFiles();
const imports = files.flatMap(parseImports);
const lines = (found: readonly Import[]) =>
  found.map(({ from, to }) => `${from} → ${to}`);

/** The modules of core/, devices/ and plugins/ without their tests. */
function findFiles(): string[] {
  const found: string[] = [];
  const look = (folder: string): void => {
    for (
      const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))
    ) {
      if (isDirectory) look(`${folder}${name}/`);
      else if (name.endsWith(".ts") && !name.endsWith("_test.ts")) {
        found.push(folder + name);
      }
    }
  };
  ["core/", "devices/", "plugins/"].forEach(look);
  return found.sort();
}

function read(file: string): string {
  return Deno.readTextFileSync(new URL(file, ROOT));
}

/** Without comments, whose examples import things too. */
function readCode(file: string): string {
  return read(file).replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
}

/** Imports and re-exports with `from`, imports for effect, and `import()` of a literal. */
function parseImports(from: string): Import[] {
  const code = readCode(from);
  const static_ =
    /^(?:import|export)\s+(type\s)?(?:([\w*\s{},]+?)\s+from\s+)?"([^"]+)"/gm;
  const dynamic = /\bimport\(\s*"([^"]+)"/g;
  const found: Import[] = [];
  for (const [, type, names, to] of code.matchAll(static_)) {
    const each = /^\{([^]*)\}$/.exec(names ?? "")?.[1]?.split(",")
      .map((name) => name.trim()).filter((name) => name !== "");
    const typeOnly = type !== undefined ||
      (each?.every((name) => name.startsWith("type ")) ?? false);
    found.push({ from, to: locate(from, to!), typeOnly, dynamic: false });
  }
  for (const [, to] of code.matchAll(dynamic)) {
    found.push({ from, to: locate(from, to!), typeOnly: false, dynamic: true });
  }
  return found;
}

function locate(from: string, to: string): string {
  if (!to.startsWith(".")) return to;
  return new URL(to, new URL(from, ROOT)).pathname.slice(ROOT.pathname.length);
}

/** The longest entry that the file is in, and how far down it is. */
function layerOf(file: string): { entry: string; depth: number } | undefined {
  return LAYERS.flatMap((entries, depth) =>
    entries.filter((entry) => file.startsWith(entry))
      .map((entry) => ({ entry, depth }))
  ).sort((a, b) => b.entry.length - a.entry.length)[0];
}

function runsBackwards({ from, to }: Import): boolean {
  const [source, target] = [layerOf(from), layerOf(to)];
  if (source === undefined || target === undefined) return false;
  return source.entry !== target.entry && target.depth >= source.depth;
}

Deno.test("The parser of imports sees every form", () => {
  const of = (from: string) => imports.filter((each) => each.from === from);
  assertEquals(
    of("core/vm.ts").find(({ to }) => to === "core/manifest/source.ts")
      ?.dynamic,
    true,
  );
  assertEquals(
    of("core/plugin.ts").find(({ to }) => to === "core/errors.ts")?.typeOnly,
    false,
  );
  assertEquals(
    of("core/plugin.ts").find(({ to }) => to === "core/virtio/chain.ts")
      ?.typeOnly,
    true,
  );
  const statements = files.flatMap((file) =>
    readCode(file).match(/\sfrom\s+"[^"]+"|^import "/gm) ?? []
  );
  assertEquals(
    imports.filter(({ dynamic }) => !dynamic).length,
    statements.length,
  );
});

Deno.test("Every file under core/ has a place in the layers", () => {
  assertEquals(
    files.filter((file) => file.startsWith("core/") && !layerOf(file)),
    [],
  );
});

Deno.test("No import in core/ runs backwards, and none leaves core/", () => {
  const core = imports.filter(({ from }) => from.startsWith("core/"));
  const backwards = core.filter(runsBackwards);
  const [types, values] = [true, false].map((typeOnly) =>
    lines(backwards.filter((each) => each.typeOnly === typeOnly))
  );
  assertEquals(values, []);
  assertEquals(types!.sort(), BACKWARDS_TYPES);
  const leaving = core.filter(({ to }) =>
    /^(devices|plugins|tests)\/|^main\.ts$/.test(to)
  );
  assertEquals(lines(leaving), [
    "core/manifest/source.ts → devices/registry.ts",
  ]);
});

Deno.test("Devices and plugins import the plugin door only", () => {
  const wrong = imports.filter(({ from, to }) => {
    const [area, name] = from.split("/");
    if (area !== "devices" && area !== "plugins") return false;
    if (/^(node|npm):/.test(to)) return false;
    if (from === "devices/registry.ts") {
      return !/^(core\/manifest\/|devices\/[a-z_0-9]+\/options\.ts$)/
        .test(to);
    }
    return to !== "core/plugin.ts" && to !== "@paddock/paddock/plugin" &&
      !to.startsWith(`${area}/${name}/`);
  });
  assertEquals(lines(wrong), []);
});

Deno.test("No imports run in a circle", () => {
  const targets = Map.groupBy(
    imports.filter(({ typeOnly, dynamic }) => !typeOnly && !dynamic),
    ({ from }) => from,
  );
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
    }
    if (done.has(file)) return;
    done.add(file);
    for (const { to } of targets.get(file) ?? []) visit(to, [...path, file]);
  };
  for (const file of files) visit(file, []);
  assertEquals(circles, []);
});

Deno.test("Every file under core/ says on its first line where it runs", () => {
  const places =
    /^\/\/ Thread: (any|(main|vcpu|irq|queue)( \| (main|vcpu|irq|queue))*)$/;
  const silent = files.filter((file) => {
    const [first, second] = read(file).split("\n");
    const says = places.test(first!) && /^(\/\/ \S|\/\*\*)/.test(second!);
    return file.startsWith("core/") && !says;
  });
  assertEquals(silent, []);
});

Deno.test("Threads start in *_worker.ts and *_process.ts, which nothing else imports", () => {
  const isEntry = (file: string) => /_(worker|process)\.ts$/.test(file);
  const core = files.filter((file) => file.startsWith("core/"));
  const started = core.flatMap((file) =>
    [...read(file).matchAll(/new URL\("([^"]+\.ts)", import\.meta\.url\)/g)]
      .map(([, to]) => locate(file, to!))
  );
  assertEquals(started.filter((file) => !isEntry(file)), []);
  assertEquals(
    core.filter(isEntry).filter((file) => !started.includes(file)),
    [],
  );
  const usesScope = core.filter((file) => /\bworkerScope</.test(read(file)));
  assertEquals(
    usesScope.filter((file) =>
      !isEntry(file) && file !== "core/sys/worker_scope.ts"
    ),
    [],
  );
  const values = imports.filter(({ to, typeOnly }) => isEntry(to) && !typeOnly);
  assertEquals(lines(values), []);
});
