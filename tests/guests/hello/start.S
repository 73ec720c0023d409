/* The way from the PVH entry (Xen docs/misc/pvh.pandoc: 32-bit protected mode, paging off,
 * EBX = hvm_start_info) to C in long mode, and from there to user mode. There is no IDT, so any
 * exception is a triple fault. */

#define PRESENT_WRITE_USER 0x07
#define LARGE_PAGE 0x80
#define KERNEL_CODE 0x08
#define USER_DATA (0x18 | 3)
#define USER_CODE (0x20 | 3)
#define TSS 0x28
#define LAST_PORT 0x607

	.section .note.pvh, "a", @note
	.long 4, 4, 18			/* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	movl $stack_top, %esp
	lidt no_idt

	/* Two directories of 2 MiB pages: the first GiB holds RAM, the fourth one the devices. */
	movl $low_gib, %edi
	movl $(PRESENT_WRITE_USER | LARGE_PAGE), %eax
	movl $512, %ecx
1:	movl %eax, (%edi)
	leal 0xc0000000(%eax), %edx
	movl %edx, (high_gib - low_gib)(%edi)
	addl $8, %edi
	addl $0x200000, %eax
	decl %ecx
	jnz 1b
	movl $(low_gib + PRESENT_WRITE_USER), pdpt
	movl $(high_gib + PRESENT_WRITE_USER), pdpt + 3 * 8
	movl $(pdpt + PRESENT_WRITE_USER), pml4

	/* Long mode: CR4.PAE, CR3, EFER.LME, CR0.PG (AMD APM vol. 2 §14.6). */
	movl %cr4, %eax
	orl $0x20, %eax
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	movl $0x100, %eax
	xorl %edx, %edx
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0

	movl $tss, %eax
	movw %ax, gdt + TSS + 2
	shrl $16, %eax
	movb %al, gdt + TSS + 4
	lgdt gdt_pointer
	ljmp $KERNEL_CODE, $1f

	.code64
1:	movl $TSS, %eax
	ltr %ax
	movl %ebx, %edi
	call start			/* start(hvm_start_info), which does not return */

/* void enter_user(void (*function)(void)): goes on at CPL 3 on an empty stack. */
	.globl enter_user
enter_user:
	pushq $USER_DATA
	pushq $stack_top - 8
	pushq $2			/* RFLAGS: interrupts off */
	pushq $USER_CODE
	pushq %rdi
	iretq

	.data
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9a000000ffff	/* 0x08: kernel code, 64 bits */
	.quad 0x00cf92000000ffff	/* 0x10: kernel data */
	.quad 0x00cff2000000ffff	/* 0x18: user data */
	.quad 0x00affa000000ffff	/* 0x20: user code, 64 bits */
	.quad 0x0000890000000000 + tss_end - tss - 1, 0
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
no_idt:
	.word 0
	.long 0

	/* The task state segment is there for its I/O bitmap: user mode may use ports to LAST_PORT. */
	.balign 8
tss:
	.fill 102, 1, 0
	.word io_bitmap - tss
io_bitmap:
	.fill (LAST_PORT + 1) / 8, 1, 0
	.byte 0xff
tss_end:

	.bss
	.balign 4096
pml4:	.skip 4096
pdpt:	.skip 4096
low_gib: .skip 4096
high_gib: .skip 4096
	.skip 8192
stack_top:
