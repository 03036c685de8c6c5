/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BCC wants the headers of the running kernel (BCC_KERNEL_SOURCE) for the few names that its own prelude
 * uses. These are all of them, so no kernel headers are needed; the empty files beside this one are there
 * because the prelude includes them.
 */
#ifndef EXECWATCH_KCONFIG_H
#define EXECWATCH_KCONFIG_H

#define CONFIG_BPF_SYSCALL 1
#define __always_inline inline __attribute__((always_inline))
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 19, 0)
#endif
#define PAGE_SIZE 4096
#define NULL ((void *)0)
#define bool _Bool
#define true 1
#define false 0

typedef signed char __s8, s8;
typedef unsigned char __u8, u8;
typedef signed short __s16, s16;
typedef unsigned short __u16, u16;
typedef signed int __s32, s32;
typedef unsigned int __u32, u32;
typedef signed long long __s64, s64;
typedef unsigned long long __u64, u64;
typedef __u16 __be16, __le16, __sum16;
typedef __u32 __be32, __le32, __wsum;
typedef __u64 __be64, __le64;
typedef unsigned long size_t, uintptr_t;
typedef int pid_t;
#define __aligned_u64 __u64 __attribute__((aligned(8)))

#endif
