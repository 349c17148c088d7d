# tegu_llvm: LLVM's C API.  Debian's LLVMConfig matches major.minor only, so
# each supported release is asked for by its full name, the newest first.
set(tegu_llvm_releases 22.1 19.1)
if(TEGU_LLVM)
    list(FILTER tegu_llvm_releases INCLUDE REGEX "^${TEGU_LLVM}\\.")
endif()
foreach(release ${tegu_llvm_releases})
    string(REGEX REPLACE "\\..*" "" major ${release})
    find_package(LLVM ${release} QUIET CONFIG
        PATHS /usr/lib/llvm-${major}/lib/cmake/llvm NO_DEFAULT_PATH)
    if(LLVM_FOUND)
        break()
    endif()
endforeach()
if(NOT LLVM_FOUND)
    message(FATAL_ERROR
        "LLVM ${TEGU_LLVM} not found: apt-get install llvm-22-dev (or 19)")
endif()
message(STATUS "LLVM ${LLVM_PACKAGE_VERSION}")
add_library(tegu_llvm INTERFACE)
target_include_directories(tegu_llvm SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
target_link_libraries(tegu_llvm INTERFACE LLVM)
