// Thread: main
// A module that is not a file here is fetched with all that it imports before the VM starts, and held to a hash.
import { ManifestError } from "../errors.ts";
import { oneLine, quote } from "../manifest/text.ts";

/** Whether a device's module has to be fetched. */
export function isRemote(module: string): boolean {
  return !module.startsWith("file:") && !module.startsWith("data:");
}

/** The hosts that a remote module comes from, as `--allow-import` takes them. */
export function importHosts(module: string): string[] {
  if (module.startsWith("jsr:")) return ["jsr.io:443"];
  if (!/^https?:/.test(module)) return [];
  const { protocol, hostname, port } = new URL(module);
  return [`${hostname}:${port || (protocol === "https:" ? 443 : 80)}`];
}

/**
 * Fetches a module into Deno's cache, unless it is there, and checks it against the manifest's `integrity`: a hash of
 * the hashes of everything it consists of, or false to take whatever comes. Throws a ManifestError.
 */
export async function fetchModule(
  module: string,
  integrity: string | false | undefined,
  field: string,
): Promise<void> {
  const found = await hashOf(module, field);
  if (integrity === false || integrity === found) return;
  throw new ManifestError(
    `${field}.integrity`,
    integrity === undefined
      ? `is required for a module from elsewhere; read ${
        quote(module)
      }, then add "integrity": "${found}", or false to take whatever comes`
      : `${
        quote(module)
      } is not what it was: it has "${found}" now; read what changed before you write that`,
  );
}

async function hashOf(module: string, field: string): Promise<string> {
  const lock = await Deno.makeTempFile({ suffix: ".lock" });
  try {
    await Deno.remove(lock);
    await cacheModule(module, importHosts(module), field, [
      "--frozen=false",
      `--lock=${lock}`,
    ]);
    return await digest(lock);
  } finally {
    await Deno.remove(lock).catch(() => {});
  }
}

/** Puts a module and all that it imports into Deno's cache. Throws a ManifestError; `field` is "" outside a manifest. */
export async function cacheModule(
  module: string,
  hosts: readonly string[],
  field: string,
  flags: readonly string[] = ["--no-lock"],
): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "cache",
      "--quiet",
      ...flags,
      `--import-map=${importMap()}`,
      ...hosts.map((host) => `--allow-import=${host}`),
      module,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return;
  const said = new TextDecoder().decode(stderr).trim().split("\n")[0] ?? "";
  throw new ManifestError(
    field === "" ? "" : `${field}.use`,
    `${quote(module)} cannot be fetched: ${
      oneLine(said.replace(/^error: /, ""))
    }`,
  );
}

/** All that such a module can import by a bare name is the plugin door. */
function importMap(): string {
  const door = import.meta.resolve("../plugin.ts");
  const imports = { "@paddock/paddock/plugin": door };
  const map = encodeURIComponent(JSON.stringify({ imports }));
  return `data:application/json,${map}`;
}

interface Lock {
  readonly jsr?: Record<string, unknown>;
  readonly npm?: Record<string, unknown>;
  readonly remote?: Record<string, unknown>;
}

/** Deno's lock file has a hash of every file and package; this is theirs, whatever their order. */
async function digest(lock: string): Promise<string> {
  const { jsr = {}, npm = {}, remote = {} } = JSON.parse(
    await Deno.readTextFile(lock).catch(() => "{}"),
  ) as Lock;
  const parts = [jsr, npm, remote].flatMap((part) =>
    Object.entries(part).map((entry) => JSON.stringify(entry))
  );
  const bytes = new TextEncoder().encode(parts.sort().join("\n"));
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return `sha256-${new Uint8Array(hash).toBase64()}`;
}
