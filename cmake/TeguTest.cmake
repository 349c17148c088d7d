# Debian's cmocka exports variables only: wrapped once here.
pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)

# tegu_test(NAME files... [LINK libs...]): one cmocka program, run by ctest
# from the repository's root, so that fixtures are named from there.
function(tegu_test name)
    cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(${name} PRIVATE
        "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries(${name} PRIVATE
        ${arg_LINK} PkgConfig::cmocka tegu_warnings)
    add_test(NAME ${name} COMMAND ${name}
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    # The label is the kind of test: unit, golden, numeric, bad, abi.
    file(RELATIVE_PATH place "${PROJECT_SOURCE_DIR}/tests"
        "${CMAKE_CURRENT_SOURCE_DIR}")
    string(REGEX REPLACE "/.*" "" kind "${place}")
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS "${kind}")
endfunction()
