// The VM's side of a device in another process, without KVM: its host and its register file; a test plays the guest.
import type { RegionOps } from "../../core/bus/address_space.ts";
import type { VirtioConfig } from "../../core/manifest/config.ts";
import { GuestMemory } from "../../core/memory/guest_memory.ts";
import { EventFd, type Fd, signalEventFd } from "../../core/sys/fd.ts";
import {
  type BackEndDevice,
  BackEndLink,
} from "../../core/vhost_user/back_end_link.ts";
import type { Connection } from "../../core/vhost_user/connection.ts";
import { VhostUserHost } from "../../core/vhost_user/front_end.ts";
import { wordsOf } from "../../core/virtio/device_page.ts";
import { MmioTransport } from "../../core/virtio/mmio_transport.ts";
import type { FakeRam } from "./fake_driver.ts";
import { MODERN, within } from "./fake_machine.ts";
