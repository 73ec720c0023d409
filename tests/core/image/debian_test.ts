import { assertEquals, assertRejects } from "@std/assert";
import { HostError } from "../../../core/errors.ts";
import { fetchKernel, fetchPackages } from "../../../core/image/debian.ts";
import { fetchGuest, scriptArchive } from "../../../core/image/initramfs.ts";

/** Runs `test` with an empty cache folder and only `programs` on PATH. */
async function withHost(
  programs: Record<string, string>,
  test: (cache: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const saved = { ...Deno.env.toObject() };
  await Deno.mkdir(`${folder}/bin`);
  for (const [name, script] of Object.entries(programs)) {
    const path = `${folder}/bin/${name}`;
    await Deno.writeTextFile(path, `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}`);
    await Deno.chmod(path, 0o755);
  }
  Deno.env.set("PATH", `${folder}/bin`);
  Deno.env.set("PADDOCK_CACHE", `${folder}/cache`);
  try {
    await test(`${folder}/cache`);
  } finally {
    Deno.env.set("PATH", saved.PATH ?? "");
    if (saved.PADDOCK_CACHE) Deno.env.set("PADDOCK_CACHE", saved.PADDOCK_CACHE);
    else Deno.env.delete("PADDOCK_CACHE");
    await Deno.remove(folder, { recursive: true });
  }
}

/** Makes an empty archive for each package; knows "update", and notes that it ran. */
const APT_GET = `
echo run >>"$PADDOCK_CACHE/../runs"
case "$*" in
*update*) exit 0 ;;
*broken*) echo "E: Unable to locate package broken" >&2; exit 100 ;;
esac
for name; do case "$name" in -*|download|*=*) ;; *) touch "$name"_1%3a2.0_amd64.deb ;; esac; done
`;
/** dpkg-deb -x ARCHIVE FOLDER */
const DPKG_DEB = `mkdir -p "$3/bin" && echo fake >"$3/bin/program"\n`;
const APT_CACHE =
  `echo "Package: linux-image-cloud-amd64"; echo "Depends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.27-1)"\n`;
const HOST = {
  "apt-get": APT_GET,
  "apt-cache": APT_CACHE,
  "dpkg-deb": DPKG_DEB,
};

const countRuns = async (cache: string) =>
  (await Deno.readTextFile(`${cache}/../runs`)).split("\n").length - 1;

Deno.test("fetchPackages() unpacks a package once and then starts no process", async () => {
  await withHost(HOST, async (cache) => {
    const first = await fetchPackages(["some-tool"]);
    const folder = first.get("some-tool") as string;
    assertEquals(folder, `${cache}/debian/some-tool_1.2.0`);
    assertEquals(await Deno.readTextFile(`${folder}/bin/program`), "fake\n");
    const runs = await countRuns(cache);

    assertEquals(await fetchPackages(["some-tool"]), first);
    assertEquals(await countRuns(cache), runs);
  });
});

Deno.test("fetchPackages() leaves only the package, the index and apt's state behind", async () => {
  await withHost(HOST, async (cache) => {
    await fetchPackages(["some-tool"]);
    const left = [...Deno.readDirSync(`${cache}/debian`)].map(({ name }) =>
      name
    );
    assertEquals(left.sort(), ["apt", "index.json", "some-tool_1.2.0"]);
  });
});

Deno.test("fetchPackages() downloads once when two ask at the same time", async () => {
  await withHost(HOST, async (cache) => {
    await Promise.all([
      fetchPackages(["some-tool"]),
      fetchPackages(["some-tool"]),
    ]);
    assertEquals(await countRuns(cache), 2); // update, download
  });
});

Deno.test("fetchPackages() says what apt said, and leaves no half-made folder", async () => {
  await withHost(HOST, async (cache) => {
    await assertRejects(
      () => fetchPackages(["broken"]),
      HostError,
      "Unable to locate package broken",
    );
    const left = [...Deno.readDirSync(`${cache}/debian`)].map(({ name }) =>
      name
    );
    assertEquals(left, ["apt"]);
  });
});

Deno.test("fetchPackages() gets by without an update of every source", async () => {
  const host = {
    ...HOST,
    "apt-get": `case "$*" in *update*) exit 100 ;; esac\n${APT_GET}`,
  };
  await withHost(host, async () => {
    assertEquals((await fetchPackages(["some-tool"])).size, 1);
  });
});

Deno.test("fetchPackages() removes what a killed run left", async () => {
  await withHost(HOST, async (cache) => {
    await Deno.mkdir(`${cache}/debian/unpacking-1`, { recursive: true });
    await fetchPackages(["some-tool"]);
    const left = [...Deno.readDirSync(`${cache}/debian`)].map(({ name }) =>
      name
    );
    assertEquals(left.includes("unpacking-1"), false);
  });
});

Deno.test("fetchKernel() follows the meta package to the kernel's own", async () => {
  await withHost(HOST, async (cache) => {
    const base = `${cache}/debian/linux-image-6.1.0-9-cloud-amd64_1.2.0`;
    assertEquals(await fetchKernel(), {
      release: "6.1.0-9-cloud-amd64",
      vmlinuz: `${base}/boot/vmlinuz-6.1.0-9-cloud-amd64`,
      modules: `${base}/lib/modules/6.1.0-9-cloud-amd64`,
    });
  });
});

Deno.test("fetchGuest() on a host without apt names the manifest fields to set", async () => {
  await withHost({}, async () => {
    await assertRejects(() => fetchGuest(), HostError, "boot.kernel");
  });
});

Deno.test("scriptArchive() holds the script where init looks for it", () => {
  const text = new TextDecoder().decode(scriptArchive("echo hi\n"));
  assertEquals(text.includes("paddock/script.sh\0"), true);
  assertEquals(text.includes("echo hi\n"), true);
});
