// What the kit says of plugins that are broken on purpose, in tests/support/broken.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Check } from "../../../core/conformance/check.ts";
import { testPlugin } from "../../../core/conformance/kit.ts";
import { NOTHING } from "../../support/permissions.ts";

interface Caught {
  readonly plugin: string;
  /** The first check that fails, and what it says happened. */
  readonly by: string;
  readonly says: RegExp;
}

const CAUGHT: readonly Caught[] = [
  {
    plugin: "says_too_much",
    by:
      "split rings: a chain with something to read and room to write comes back",
    says:
      /^requestq: .* made the device fail; 514 is not how many bytes were written; the chain has room for 513/,
  },
  {
    plugin: "lies",
    by:
      "split rings: a chain with something to read and room to write comes back",
    says: /513 bytes written, but those from 1 on are as the driver left them$/,
  },
  {
    plugin: "strays",
    by:
      "split rings: a chain with something to read and room to write comes back",
    says: /the byte at 0x0 of RAM changed, which is in no buffer/,
  },
  {
    plugin: "silent",
    by:
      "split rings: a chain with something to read and room to write comes back",
    says: /came back without an interrupt; call flush\(\)/,
  },
  {
    plugin: "throws",
    by:
      "split rings: a chain with something to read and room to write comes back",
    says: /is not valid JSON at .*broken\/throws\.ts:12:[0-9]+\)$/,
  },
  {
    plugin: "wrong_config",
    by: "it starts, and declares itself in time",
    says:
      /config field rate takes a whole number from 0 to 4294967295, not 44100 Hz at .*broken\/wrong_config\.ts:10:/,
  },
  {
    plugin: "misplaced_config",
    by: "config fields lie where a driver can read them",
    says: /^rate lies at 1, no multiple of 4$/,
  },
  {
    plugin: "floods",
    by: "a device that is asked nothing keeps quiet",
    says: /^it sent [0-9]{3,} messages in 0\.3 s$/,
  },
  {
    plugin: "loose",
    by: "a device that is asked nothing keeps quiet",
    says: /the timer has no device at .*broken\/loose\.ts:11:/,
  },
  {
    plugin: "eager",
    by: "split rings: every queue can be activated, and none need be",
    says: /Cannot read properties of null .*broken\/eager\.ts:9:/,
  },
  {
    plugin: "restless",
    by: "a pause finishes what is in flight, and starts nothing",
    says: /^the byte at 0x[0-9a-f]+ of RAM changed after a pause$/,
  },
];

async function test(plugin: string) {
  return await testPlugin({
    module: new URL(`../../support/broken/${plugin}.ts`, import.meta.url).href,
    options: {},
    permissions: NOTHING,
    onResult: () => {},
  });
}

const failures = (checks: readonly Check[]) => checks.filter(({ ok }) => !ok);

for (const { plugin, by, says } of CAUGHT) {
  Deno.test(`The conformance kit catches a plugin that is broken: ${plugin}`, async () => {
    const { checks, failed } = await test(plugin);
    const [first] = failures(checks);
    assertEquals(first?.name, by);
    assertMatch(first!.detail, says);
    assertEquals(failed, failures(checks).length);
  });
}

Deno.test("The conformance kit catches a write after the reset", async () => {
  const { checks } = await test("late_writer");
  for (const format of ["split", "packed"]) {
    const name = `${format} rings: resets under load leave nothing behind`;
    const late = failures(checks).find((check) => check.name === name);
    assertMatch(late!.detail, /of RAM changed after a reset$/);
    assertEquals(late!.section, "virtio-v1.3 §2.4.1");
  }
});

for (const plugin of ["never_answers", "spins"]) {
  Deno.test(`The conformance kit gives up a plugin that does not come back: ${plugin}`, async () => {
    const started = performance.now();
    const { checks, notRun, stopped } = await test(plugin);
    assert(performance.now() - started < 20_000);
    assertEquals(
      failures(checks).map(({ name }) => name),
      ["split rings: a chain with something to read and room to write comes back"],
    );
    assertMatch(failures(checks)[0]!.detail, /was not answered in 6 s/);
    assertEquals(stopped, "the device was cut off");
    assert(notRun.length > 20);
  });
}

Deno.test("The conformance kit says why a module declares nothing", async () => {
  const { checks, failed } = await test("not_there");
  assertEquals([checks.length, failed], [1, 1]);
  assertMatch(checks[0]!.detail, /not_there\.ts/);
});
