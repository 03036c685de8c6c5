/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends a record of every exec to ring buffer `output`, with the message of the rule for its UID.
 *
 * BCC compiles it without kernel headers, as one text that the loader puts together from these files.
 * vmlinux.h is generated from the running kernel's BTF (execwatchd/kernel/header.py); it defines
 * KERNEL_HAS_… for what not every kernel has. Options: ARGV_BYTES, RING_PAGES, CPUS, FAILURES, CWD,
 * ANCESTORS, INTERACTIVE, EXITS. OUTPUT_FD: see shares.h.
 */
#include "execwatch.h"
#include "vmlinux.h"
#include "read.h"
#include "maps.h"
#include "record.h"
#include "rules.h"
#include "subject.h"
#include "buckets.h"
#include "limits.h"
#include "shares.h"
#include "privilege.h"
#include "caller.h"
#include "admission.h"
#include "path.h"
#include "origin.h"
#include "executable.h"
#include "parent.h"
#include "exits.h"
#include "exec.h"
#include "failures.h"
