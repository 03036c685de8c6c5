/* SPDX-License-Identifier: GPL-2.0-or-later: empty, see linux/kconfig.h */
