// Thread: main
// What help says of each command, option and exit status.
import type { CommandName } from "./commands.ts";

interface CommandHelp {
  /** After "paddock". */
  readonly usage: string;
  readonly summary: string;
  /** Paragraphs for the command's own page. */
  readonly more?: readonly string[];
  /** All that it heeds, in the order of {@linkcode OPTIONS}. */
  readonly options: readonly string[];
  readonly examples: readonly string[];
}

const MANIFEST =
  "The manifest is vm.json unless you name one. Where there is none, run and check take the one that init would write: Debian's kernel, one CPU, 512M, a console, a 64M disk and a random number generator.";
const MODULE =
  "A module is a built-in device's name, a file, a folder with mod.ts, or a URL.";

/** Of the overview. */
export const WORDS = `${MANIFEST} ${MODULE}`;

export const COMMAND_HELP: Readonly<Record<CommandName, CommandHelp>> = {
  run: {
    usage: "[run] [manifest]",
    summary: "Start a machine and connect the terminal to it",
    more: [MANIFEST],
    options: [
      "script",
      "trace",
      "sandbox",
      "user",
      "cgroup",
      "watch",
      "json",
      "log-level",
      "no-color",
    ],
    examples: ["paddock web/vm.json", "paddock run --script tests.sh ci.json"],
  },
  init: {
    usage: "init [directory]",
    summary: "Write vm.json, and its schema for your editor",
    options: ["force"],
    examples: ["paddock init web && paddock web/vm.json"],
  },
  check: {
    usage: "check [manifest]",
    summary: "Check a manifest and its files; start nothing",
    more: [MANIFEST, "The exit status is 2 where something is wrong."],
    options: ["json"],
    examples: ["paddock check --json vm.json"],
  },
  permissions: {
    usage: "permissions [manifest]",
    summary:
      "Print the deno command, with the least flags, that runs a manifest",
    options: ["json"],
    examples: ["paddock permissions vm.json"],
  },
  doctor: {
    usage: "doctor",
    summary: "Say whether this host can run machines",
    more: [
      "Each line is something that was looked at, with what to do about it. The exit status is 1 where no machine runs.",
    ],
    options: ["json", "no-color"],
    examples: ["paddock doctor"],
  },
  schema: {
    usage: "schema",
    summary: "Print the manifest's JSON Schema",
    options: [],
    examples: ["paddock schema"],
  },
  explain: {
    usage: "explain [section]",
    summary:
      "Say what a section of the virtio specification asks for, as a diagnosis cites it: 2.7.5; or a part of the plugin API: plugin.queues",
    more: ["Without a section it lists all that there is."],
    options: ["json"],
    examples: ["paddock explain 2.7.5", "paddock explain plugin.queues"],
  },
  "plugin new": {
    usage: "plugin new <name>",
    summary: "Write a device that works, to start from",
    more: [
      "The name is a folder's, which is made: it gets the device, its test, its manifest and what an editor needs.",
    ],
    options: ["force"],
    examples: ["paddock plugin new heartbeat && paddock plugin test heartbeat"],
  },
  "plugin test": {
    usage: "plugin test <module>",
    summary: "Run the conformance kit on a device; no KVM",
    more: [MODULE, "The exit status is 1 where a check fails."],
    options: ["options", "permissions", "json", "no-color"],
    examples: [
      'paddock plugin test ./fan/mod.ts --permissions \'{ "read": ["data"] }\'',
    ],
  },
  "plugin inspect": {
    usage: "plugin inspect <module>",
    summary: "Print what a device declares",
    more: [MODULE],
    options: ["json"],
    examples: ["paddock plugin inspect block"],
  },
  "plugin list": {
    usage: "plugin list [manifest]",
    summary: "List built-in devices, examples, and those of a manifest",
    options: ["json"],
    examples: ["paddock plugin list vm.json"],
  },
  "plugin serve": {
    usage: "plugin serve <module> --socket PATH",
    summary: "Serve a device to another VMM by vhost-user",
    more: [MODULE],
    options: ["options", "permissions", "socket"],
    examples: ["paddock plugin serve rng --socket /tmp/rng.sock"],
  },
  help: {
    usage: "help [command]",
    summary: "Print this page, or a command's own",
    options: [],
    examples: ["paddock help run"],
  },
};

export interface OptionHelp {
  readonly form: string;
  /** In the overview, where not all commands have it. */
  readonly owners?: string;
  readonly text: string;
}

export const OPTIONS: Readonly<Record<string, OptionHelp>> = {
  script: {
    form: "--script FILE",
    owners: "run",
    text:
      "a shell script that the guest runs before it powers off; overrides boot.script",
  },
  trace: {
    form: "--trace=mmio,ring,irq",
    owners: "run",
    text:
      "trace register accesses, virtqueues and interrupts to stderr, with --json as JSON",
  },
  sandbox: {
    form: "--sandbox LEVEL",
    owners: "run",
    text:
      "strict (default): the machine's process has the rights that the manifest needs, by Deno and by the kernel; deno: by Deno only; off: this process runs it",
  },
  user: {
    form: "--user NAME",
    owners: "run",
    text: "as root: whom all processes of the machine run as",
  },
  cgroup: {
    form: "--cgroup DIR",
    owners: "run",
    text:
      "a folder of cgroup v2, where the machine gets a group that limits its memory, CPU time and threads",
  },
  watch: {
    form: "--watch",
    owners: "run",
    text: "reload a plugin into the running machine when its files change",
  },
  force: {
    form: "--force",
    owners: "init, plugin new",
    text: "overwrite files that exist",
  },
  options: {
    form: "--options JSON",
    owners: "plugin test, serve",
    text: 'the device\'s options, as a manifest has them beside "use"',
  },
  permissions: {
    form: "--permissions JSON",
    owners: "plugin test, serve",
    text: "what the device is granted, as in a manifest; nothing by default",
  },
  socket: {
    form: "--socket PATH",
    owners: "plugin serve",
    text: "where the other VMM connects",
  },
  json: {
    form: "--json",
    text: "Results as JSON; for run, the log as JSON lines",
  },
  "log-level": {
    form: "--log-level LEVEL",
    text: "debug, info (default), warning or error",
  },
  "no-color": {
    form: "--no-color",
    text: "No colour; so does the variable NO_COLOR",
  },
  help: { form: "-h, --help", text: "This page; after a command, its own" },
  version: { form: "-V, --version", text: "The version" },
};

/** Of a terminal that a machine has. */
export const KEYS = [
  ["Ctrl-A x", "Power it off at once"],
  ["Ctrl-A Ctrl-A", "Send Ctrl-A to it"],
] as const;

/** Of the overview. */
export const EXAMPLES = [
  ["paddock", "Boot Debian's kernel into a shell"],
  ["paddock init web && paddock web/vm.json", ""],
  ["paddock run --script tests.sh ci.json", ""],
  ["paddock check --json vm.json", ""],
  ["paddock plugin new heartbeat && paddock plugin test heartbeat", ""],
] as const;

export const STATUSES = [
  [0, "The guest powered off, or you pressed Ctrl-A x"],
  [1, "Paddock failed, or the host cannot run the machine"],
  [2, "The manifest or the arguments are wrong"],
  [3, "The guest rebooted"],
  [4, "The guest's CPU shut down (triple fault)"],
  [5, "KVM reported an internal error"],
  [6, "The guest's kernel panicked"],
  [7, "As 0, but a device of the manifest could not start"],
  [129, "The terminal went away (SIGHUP)"],
  [130, "Interrupted (Ctrl-C)"],
  [143, "Terminated (SIGTERM)"],
] as const;
