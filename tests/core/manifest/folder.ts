// A folder with a file of each kind that a manifest may name.

/** Calls the test with the folder's real path and removes it afterwards. */
export function withFolder(test: (dir: string) => void): void {
  const dir = Deno.realPathSync(Deno.makeTempDirSync());
  try {
    Deno.mkdirSync(`${dir}/folder`);
    Deno.mkdirSync(`${dir}/echo`);
    Deno.writeTextFileSync(`${dir}/empty`, "");
    Deno.writeTextFileSync(`${dir}/kernel`, "kernel");
    Deno.writeTextFileSync(`${dir}/odd.img`, "x".repeat(1000));
    Deno.writeTextFileSync(`${dir}/disk.img`, "x".repeat(1024));
    Deno.symlinkSync("disk.img", `${dir}/link.img`);
    Deno.writeTextFileSync(`${dir}/my device#1.ts`, "export {};");
    Deno.writeTextFileSync(`${dir}/echo/mod.ts`, "export {};");
    Deno.writeTextFileSync(`${dir}/big`, "");
    Deno.truncateSync(`${dir}/big`, 17 << 20);
    test(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}
