// Thread: main
// `paddock --help` and `paddock --version`.

import config from "../../deno.json" with { type: "json" };
import { printLine } from "./output.ts";

/** The version that deno.json gives. */
export const VERSION: string = config.version;

/** Fits 80 columns. */
export const HELP =
  `Paddock ${VERSION}: virtual machines on KVM, with devices in TypeScript

Usage
  paddock [run] [manifest]      Start a machine and connect the terminal to it
  paddock init [directory]      Write vm.json, and its schema for your editor
  paddock check [manifest]      Check a manifest and its files; start nothing
  paddock permissions [manifest]
                                Print the deno command, with the least flags,
                                that runs a manifest
  paddock doctor                Say whether this host can run machines
  paddock schema                Print the manifest's JSON Schema
  paddock explain [section]     Say what a section of the virtio specification
                                asks for, as a diagnosis cites it: 2.7.5; or
                                a part of the plugin API: plugin.queues
  paddock plugin new <name>     Write a device that works, to start from
  paddock plugin test <module>
                                Run the conformance kit on a device; no KVM
  paddock plugin inspect <module>
                                Print what a device declares
  paddock plugin list [manifest]
                                List built-in devices, examples, and those of
                                a manifest
  paddock plugin serve <module> --socket PATH
                                Serve a device to another VMM by vhost-user

  The manifest is vm.json unless you name one. Where there is none, run and
  check take the one that init would write: Debian's kernel, one CPU, 512M, a
  console, a 64M disk and a random number generator. A module is a built-in
  device's name, a file, a folder with mod.ts, or a URL.

Options
      --script FILE             run: a shell script that the guest runs before
                                it powers off; overrides boot.script
      --trace=mmio,ring,irq     run: trace register accesses, virtqueues and
                                interrupts to stderr, with --json as JSON
      --sandbox LEVEL           run: strict (default): the machine's process has
                                the rights that the manifest needs, by Deno and
                                by the kernel; deno: by Deno only; off: this
                                process runs it
      --watch                   run: reload a plugin into the running machine
                                when its files change
      --force                   init, plugin new: overwrite files that exist
      --options JSON            plugin test, serve: the device's options, as a
                                manifest has them beside "use"
      --permissions JSON        plugin test, serve: what the device is granted,
                                as in a manifest; nothing by default
      --socket PATH             plugin serve: where the other VMM connects
      --json                    Results as JSON; for run, the log as JSON lines
      --log-level LEVEL         debug, info (default), warning or error
      --no-color                No colour; so does the variable NO_COLOR
  -h, --help                    This page
  -V, --version                 The version

In a machine
  Ctrl-A x                      Power it off at once
  Ctrl-A Ctrl-A                 Send Ctrl-A to it

Examples
  paddock                       Boot Debian's kernel into a shell
  paddock init web && paddock web/vm.json
  paddock run --script tests.sh ci.json
  paddock check --json vm.json
  paddock plugin new heartbeat && paddock plugin test heartbeat

Exit status
    0  The guest powered off, or you pressed Ctrl-A x
    1  Paddock failed, or the host cannot run the machine
    2  The manifest or the arguments are wrong
    3  The guest rebooted
    4  The guest's CPU shut down (triple fault)
    5  KVM reported an internal error
    6  The guest's kernel panicked
    7  The guest powered off, and a device of the manifest could not start
  129  The terminal went away (SIGHUP)
  130  Interrupted (Ctrl-C)
  143  Terminated (SIGTERM)`;

/** Prints the help page. */
export function help(): Promise<number> {
  printLine(HELP);
  return Promise.resolve(0);
}

/** Prints the version. */
export function version(): Promise<number> {
  printLine(`paddock ${VERSION}`);
  return Promise.resolve(0);
}
