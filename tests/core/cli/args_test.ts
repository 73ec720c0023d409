import { assertEquals, assertThrows } from "@std/assert";
import {
  type CliArgs,
  parseCliArgs,
  UsageError,
} from "../../../core/cli/args.ts";
import { NOTHING } from "../../support/permissions.ts";

const GLOBAL = { logLevel: "info", json: false, color: true } as const;
const RUN = {
  ...GLOBAL,
  command: "run",
  manifest: undefined,
  script: undefined,
  walls: { sandbox: "strict" },
  trace: [],
  watch: false,
} as const;

const GOOD: readonly (readonly [string, CliArgs])[] = [
  ["", RUN],
  ["run", RUN],
  ["vm.json", { ...RUN, manifest: "vm.json" }],
  ["run dir/123", { ...RUN, manifest: "dir/123" }],
  ["run 123", { ...RUN, manifest: "123" }],
  ["run -- --odd.json", { ...RUN, manifest: "--odd.json" }],
  ["run --script a.sh vm.json", {
    ...RUN,
    manifest: "vm.json",
    script: "a.sh",
  }],
  ["--script=a.sh ./vm.json", {
    ...RUN,
    manifest: "./vm.json",
    script: "a.sh",
  }],
  ["run --log-level debug --no-color --json", {
    ...RUN,
    logLevel: "debug",
    color: false,
    json: true,
  }],
  ["init", { ...GLOBAL, command: "init", dir: ".", force: false }],
  ["init a --force", { ...GLOBAL, command: "init", dir: "a", force: true }],
  ["check", { ...GLOBAL, command: "check", manifest: undefined }],
  ["check --json a.json", {
    ...GLOBAL,
    json: true,
    command: "check",
    manifest: "a.json",
  }],
  ["permissions a.json", {
    ...GLOBAL,
    command: "permissions",
    manifest: "a.json",
  }],
  ["doctor", { ...GLOBAL, command: "doctor" }],
  ["schema", { ...GLOBAL, command: "schema" }],
  ["plugin new a/b --force", {
    ...GLOBAL,
    command: "plugin new",
    dir: "a/b",
    force: true,
  }],
  ["plugin list", {
    ...GLOBAL,
    command: "plugin list",
    manifest: undefined,
  }],
  ["plugin list vm.json", {
    ...GLOBAL,
    command: "plugin list",
    manifest: "vm.json",
  }],
  ["plugin inspect --json mod.ts", {
    ...GLOBAL,
    json: true,
    command: "plugin inspect",
    module: "mod.ts",
  }],
  ["plugin test block", {
    ...GLOBAL,
    command: "plugin test",
    module: "block",
    options: {},
    permissions: NOTHING,
  }],
  ['plugin test block --options {"path":"x","readOnly":true}', {
    ...GLOBAL,
    command: "plugin test",
    module: "block",
    options: { path: "x", readOnly: true },
    permissions: NOTHING,
  }],
  ["plugin serve rng --socket=s --options={}", {
    ...GLOBAL,
    command: "plugin serve",
    module: "rng",
    options: {},
    permissions: NOTHING,
    socket: "s",
  }],
  ...([
    ["--help", undefined],
    ["help", undefined],
    ["help help", "help"],
    ["help run", "run"],
    ["run -h", "run"],
    ["vm.json --help", "run"],
    ["check a.json --help", "check"],
    ["plugin --help", "plugin"],
    ["help plugin", "plugin"],
    ["help plugin test", "plugin test"],
    ["plugin test --help", "plugin test"],
    ["plugin serve -h", "plugin serve"],
  ] as const).map(([line, topic]) =>
    [line, { ...GLOBAL, command: "help", topic }] as const
  ),
  ["-V", { ...GLOBAL, command: "version" }],
];

const BAD: readonly (readonly [string, string])[] = [
  ["help plugin test x", 'help takes one command; remove "x"'],
  ["help chekc", 'Unknown command "chekc"; did you mean check?'],
  [
    "plugin tset --help",
    'Unknown command "plugin tset"; did you mean plugin test?',
  ],
  ["hlep", 'Unknown command "hlep"; did you mean help?'],
  ["chekc", 'Unknown command "chekc"; did you mean check?'],
  [
    "toast",
    'Unknown command "toast"; the commands are run, init, check, permissions, doctor, schema, explain, plugin, help',
  ],
  [
    "constructor",
    'Unknown command "constructor"; the commands are run, init, check, permissions, doctor, schema, explain, plugin, help',
  ],
  ["--forse init", 'Unknown option "--forse"; did you mean --force?'],
  ["--no-colour", 'Unknown option "--no-colour"; did you mean --no-color?'],
  ["--no-json", 'Unknown option "--no-json"; see paddock --help'],
  ["-x", 'Unknown option "-x"; see paddock --help'],
  ["--__proto__=1", 'Unknown option "--__proto__"; see paddock --help'],
  ["--memory=1G", 'Unknown option "--memory"; see paddock --help'],
  ["--script", "--script needs a value; see paddock --help"],
  ["--script --json", "--script needs a value; see paddock --help"],
  [
    "--log-level loud",
    '--log-level must be debug, info, warning, error, not "loud"',
  ],
  ["--no-json=1", "--no-json takes no value; write it alone"],
  ["--json=yes check", "--json takes no value; write it alone"],
  ["check a.json b.json", 'check takes one manifest; remove "b.json"'],
  ["doctor now", 'doctor takes no operand; remove "now"'],
  [
    "check --force",
    "--force belongs to init and plugin new, not to check; remove it",
  ],
  ["init --script a.sh", "--script belongs to run, not to init; remove it"],
  [
    "run --force",
    "--force belongs to init and plugin new, not to run; remove it",
  ],
  ["plugin", "plugin needs a command: new, test, list, inspect, serve"],
  [
    "plugin isnpect x",
    'Unknown command "plugin isnpect"; did you mean plugin inspect?',
  ],
  [
    "plugin forget",
    'Unknown command "plugin forget"; the commands are new, test, list, inspect, serve',
  ],
  [
    "plugin constructor",
    'Unknown command "plugin constructor"; the commands are new, test, list, inspect, serve',
  ],
  ["plugin new", "plugin new needs a name; see paddock help plugin new"],
  ["plugin test", "plugin test needs a module; see paddock help plugin test"],
  [
    "plugin inspect a.ts b.ts",
    'plugin inspect takes one module; remove "b.ts"',
  ],
  [
    "plugin list a.json b.json",
    'plugin list takes one manifest; remove "b.json"',
  ],
  [
    "plugin inspect rng --options {}",
    "--options belongs to plugin test and plugin serve, not to plugin inspect; remove it",
  ],
  [
    "plugin test rng --socket s",
    "--socket belongs to plugin serve, not to plugin test; remove it",
  ],
  [
    'plugin test rng --permissions {"ffi":["x"]}',
    `--permissions must have lists by read, write, net, env, run, import, such as '{ "read": ["data"] }', not "ffi"`,
  ],
  [
    "plugin serve rng --socket s --permissions all",
    `--permissions must be a JSON object such as '{ "read": ["data"] }', not "all"`,
  ],
  ["plugin test rng --options", "--options needs a value; see paddock --help"],
  [
    "plugin serve rng",
    "plugin serve needs --socket PATH, where a front end such as QEMU connects",
  ],
  ...["{", "1", "null", "[]", '"x"'].map((json) =>
    [
      `plugin test rng --options ${json}`,
      `--options must be a JSON object such as '{ "path": "disk.img" }', not ${
        JSON.stringify(json)
      }`,
    ] as const
  ),
];

const words = (line: string) => line === "" ? [] : line.split(" ");

Deno.test("parseCliArgs() makes a typed command of the arguments", () => {
  for (const [line, expected] of GOOD) {
    assertEquals(parseCliArgs(words(line)), expected, `for ${line}`);
  }
});

Deno.test("parseCliArgs() refuses what it does not know with one line", () => {
  for (const [line, message] of BAD) {
    const error = assertThrows(() => parseCliArgs(words(line)), UsageError);
    assertEquals((error as UsageError).message, message);
  }
});

Deno.test("parseCliArgs() refuses an empty name and one that would break the line", () => {
  assertEquals(
    (assertThrows(() => parseCliArgs(["run", ""]), UsageError) as UsageError)
      .message,
    "run was given an empty name; name a manifest",
  );
  assertEquals(
    (assertThrows(() => parseCliArgs(["a\n\x1b[2J"]), UsageError) as UsageError)
      .message,
    'Unknown command "a\\n\\u001b[2J"; the commands are run, init, check, permissions, doctor, schema, explain, plugin, help',
  );
});
