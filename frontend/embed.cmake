# Writes FROM as the C array NAME_text with its size NAME_size to INTO:
#   cmake -DFROM=... -DINTO=... -DNAME=... -P embed.cmake
file(READ "${FROM}" bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,){12})" "    \\1\n" bytes "${bytes}")
get_filename_component(source "${FROM}" NAME)
file(WRITE "${INTO}" "/* ${source}, written by embed.cmake */
#include <stddef.h>
extern const unsigned char ${NAME}_text[];
extern const size_t ${NAME}_size;
const unsigned char ${NAME}_text[] = {
${bytes}0};
const size_t ${NAME}_size = ${size};
")
