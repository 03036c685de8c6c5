// SPDX-License-Identifier: GPL-2.0-or-later
// What the load executes: nothing, so that the exec itself is all the time it takes.
int main(void)
{
  return 0;
}
