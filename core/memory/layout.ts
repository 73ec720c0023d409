// Thread: any
// The guest physical memory map: every fixed address, its size and why it is there.

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** GPA: GDT for the 64-bit entry, below everything that firmware would own. */
export const BOOT_GDT = 0x500;
/** GPA: PVH hvm_start_info, its memory map and module list (Xen docs/misc/pvh.pandoc). */
export const PVH_START_INFO = 0x6000;
/** GPA: Linux boot_params, the "zero page" (Documentation/arch/x86/boot.rst). */
export const ZERO_PAGE = 0x7000;
/** GPA: top of the boot stack, which grows down towards the zero page. */
export const BOOT_STACK_TOP = 0x8ff0;
/** GPA: PML4, then one PDPT and four PDs that identity-map the low 4 GiB. */
export const BOOT_PML4 = 0x9000;
/** GPA and size of the kernel command line (Linux takes 2048 bytes with its NUL on x86). */
export const CMDLINE = 0x20000;
export const CMDLINE_SIZE = 2048;
/** GPA: RAM below here and above 640 KiB is where PCs keep video memory and ROMs. */
export const EBDA = 0x9fc00;
/** GPA and size of the ACPI tables; the RSDP is at the start, inside the range that ACPI 6.5 §5.2.5.1 has searched. */
export const ACPI_TABLES = 0xe0000;
export const ACPI_TABLES_SIZE = 0x20000;
/** GPA: where a PC's firmware takes over after a reset; Linux jumps here, in real mode, to reboot by BIOS. */
export const RESET_VECTOR = 0xffff0;
/** GPA: kernels and flat images are loaded from here on. */
export const HIGH_MEMORY = 1 * MiB;

/** GPA: RAM ends here at the latest and goes on at 4 GiB: the 32-bit device hole. */
export const DEVICE_HOLE = 3 * GiB;
export const HIGH_RAM = 4 * GiB;

/** GPA: one page a virtio-mmio device, in manifest order. */
export const VIRTIO_MMIO_BASE = 0xd000_0000;
export const VIRTIO_MMIO_STRIDE = 0x1000;
/** 24 IOAPIC pins less those that PCs keep (0–4): edge interrupts are not shared. */
export const MAX_DEVICES = 19;
/** GSI of the first virtio-mmio device; each has its own. */
export const VIRTIO_GSI_BASE = 5;

/** GPA: fixed by the architecture, served inside KVM. */
export const IOAPIC = 0xfec0_0000;
export const LOCAL_APIC = 0xfee0_0000;
/** GPA: three pages and one page that KVM on Intel wants for real mode (KVM_SET_TSS_ADDR). */
export const KVM_IDENTITY_MAP = 0xfffb_c000;
export const KVM_TSS = 0xfffb_d000;

/** I/O port and GSI of the 16550 serial port, ttyS0. */
export const COM1 = 0x3f8;
export const COM1_SIZE = 8;
export const COM1_GSI = 4;
/** I/O port of the pvpanic device (QEMU docs/specs/pvpanic). */
export const PVPANIC = 0x505;
/** I/O ports of the ACPI sleep control, sleep status and reset registers (ACPI 6.5 §4.8.3.7, §4.8.3.6). */
export const ACPI_SLEEP_CONTROL = 0x600;
export const ACPI_SLEEP_STATUS = 0x601;
export const ACPI_RESET = 0x602;
/** The value that the guest writes to ACPI_RESET to reboot, and the `_S5` sleep type. */
export const ACPI_RESET_VALUE = 1;
export const ACPI_S5_SLEEP_TYPE = 5;

export const MIN_MEMORY = 16 * MiB;
export const MAX_MEMORY = 64 * GiB;
export const MAX_CPUS = 64;
