# tegu_warnings: the flags that every target of ours is compiled with.
add_library(tegu_warnings INTERFACE)
target_compile_options(tegu_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wpointer-arith
    $<$<BOOL:${TEGU_WERROR}>:-Werror>)
target_compile_definitions(tegu_warnings INTERFACE _POSIX_C_SOURCE=200809L)
if(TEGU_SANITIZE)
    target_compile_options(tegu_warnings INTERFACE
        -fsanitize=${TEGU_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    target_link_options(tegu_warnings INTERFACE -fsanitize=${TEGU_SANITIZE})
endif()

# tegu_library(NAME files... [LINK libs...]): a static library of ours, with
# the repository root as its include path.
function(tegu_library name)
    cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
    add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(${name} PUBLIC
        "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR};${PROJECT_SOURCE_DIR}/include>")
    target_link_libraries(${name} PUBLIC ${arg_LINK}
        PRIVATE $<BUILD_INTERFACE:tegu_warnings>)
endfunction()
