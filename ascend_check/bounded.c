/* The functions of CANN's libc_sec.so, which MindSpore's plugin calls on its own data: for stand_ins.py. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int memcpy_s(void *to, size_t room, const void *from, size_t size) {
  memcpy(to, from, size);
  return 0;
}

int memmove_s(void *to, size_t room, const void *from, size_t size) {
  memmove(to, from, size);
  return 0;
}

int memset_s(void *to, size_t room, int value, size_t size) {
  memset(to, value, size);
  return 0;
}

int strcpy_s(char *to, size_t room, const char *from) {
  strcpy(to, from);
  return 0;
}

int strcat_s(char *to, size_t room, const char *from) {
  strcat(to, from);
  return 0;
}

int strncpy_s(char *to, size_t room, const char *from, size_t size) {
  strncpy(to, from, size);
  return 0;
}

int vsnprintf_s(char *to, size_t room, size_t size, const char *format, va_list values) {
  return vsnprintf(to, room, format, values);
}

int snprintf_s(char *to, size_t room, size_t size, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int length = vsnprintf(to, room, format, values);
  va_end(values);
  return length;
}

int sprintf_s(char *to, size_t room, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int length = vsnprintf(to, room, format, values);
  va_end(values);
  return length;
}
