// Runs a command and keeps what it prints.

/** Replaces writeSync of stdout and stderr while `run` runs. */
export async function capture(
  run: () => number | Promise<number>,
): Promise<{ status: number; stdout: string; stderr: string }> {
  const texts = { stdout: "", stderr: "" };
  const saved = {
    stdout: Deno.stdout.writeSync,
    stderr: Deno.stderr.writeSync,
  };
  for (const name of ["stdout", "stderr"] as const) {
    Deno[name].writeSync = (bytes) => {
      // A pipe may take less than all.
      const part = bytes.subarray(0, 1000);
      texts[name] += new TextDecoder().decode(part);
      return part.length;
    };
  }
  try {
    return { status: await run(), ...texts };
  } finally {
    Deno.stdout.writeSync = saved.stdout;
    Deno.stderr.writeSync = saved.stderr;
  }
}
