import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import {
  cacheFolder,
  contentKey,
  prune,
  touch,
  withCacheLock,
  writeWhole,
} from "../../../core/image/cache.ts";

const VARIABLES = ["PADDOCK_CACHE", "XDG_CACHE_HOME", "HOME"] as const;

/** Runs `test` with exactly these of the variables that cacheFolder() reads. */
async function withVariables(
  values: Partial<Record<typeof VARIABLES[number], string>>,
  test: () => void | Promise<void>,
): Promise<void> {
  const saved = VARIABLES.map((name) => [name, Deno.env.get(name)] as const);
  const set = (name: string, value?: string) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  for (const name of VARIABLES) set(name, values[name]);
  try {
    await test();
  } finally {
    for (const [name, value] of saved) set(name, value);
  }
}

Deno.test("cacheFolder() prefers PADDOCK_CACHE, then XDG_CACHE_HOME, then HOME", async () => {
  const all = { PADDOCK_CACHE: "/p", XDG_CACHE_HOME: "/x", HOME: "/h" };
  await withVariables(all, () => assertEquals(cacheFolder(), "/p"));
  await withVariables(
    { ...all, PADDOCK_CACHE: "" },
    () => assertEquals(cacheFolder(), "/x/paddock"),
  );
  await withVariables(
    { HOME: "/h" },
    () => assertEquals(cacheFolder(), "/h/.cache/paddock"),
  );
});

Deno.test("writeWhole() leaves nothing behind when it fails", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/taken/inside`, { recursive: true });
  await assertRejects(() => writeWhole(`${folder}/taken`, "text"));
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), [
    "taken",
  ]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("withCacheLock() lets one holder in at a time", async () => {
  const folder = await Deno.makeTempDir();
  await withVariables({ PADDOCK_CACHE: folder }, async () => {
    const log: string[] = [];
    const hold = (name: string) =>
      withCacheLock("test", async () => {
        log.push(`${name} in`);
        await new Promise((resolve) => setTimeout(resolve, 20));
        log.push(`${name} out`);
      });
    await Promise.all([hold("a"), hold("b")]);
    const first = log[0]?.[0];
    const second = first === "a" ? "b" : "a";
    assertEquals(log, [
      `${first} in`,
      `${first} out`,
      `${second} in`,
      `${second} out`,
    ]);
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("contentKey() tells apart the same bytes cut differently", async () => {
  assertNotEquals(await contentKey(["ab", "c"]), await contentKey(["a", "bc"]));
  assertEquals(await contentKey(["ab"]), await contentKey(["ab"]));
});

Deno.test("prune() removes what was not used for 30 days, and nothing else", async () => {
  const folder = await Deno.makeTempDir();
  const age = (name: string, days: number) => {
    const then = new Date(Date.now() - days * 86_400_000);
    return Deno.utime(`${folder}/${name}`, then, then);
  };
  for (const name of ["new", "month", "old", "used", "half.tmp"]) {
    await Deno.writeTextFile(`${folder}/${name}`, name);
  }
  await age("month", 29);
  for (const name of ["old", "used", "half.tmp"]) await age(name, 31);
  // A folder is not what is pruned.
  await Deno.mkdir(`${folder}/folder/inside`, { recursive: true });
  await age("folder", 31);
  touch(`${folder}/used`);
  await prune(folder);
  const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assertEquals(left.sort(), ["folder", "month", "new", "used"]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("touch() of what is not there does nothing", () => {
  touch("/nowhere/at/all");
});
