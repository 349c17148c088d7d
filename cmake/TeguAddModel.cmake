# tegu_add_model(NAME SOURCE model [PIPELINE passes] [TARGET target]
#                [OPTIONS more...])
#
# Compiles a model during the build.  Gives a library NAME to link with: the
# object, and the include folder of NAME.h.  Unless OPTIONS has --weights
# embed, NAME.weights lies in the property TEGU_WEIGHTS of the library.
function(tegu_add_model name)
    cmake_parse_arguments(arg "" "SOURCE;PIPELINE;TARGET" "OPTIONS" ${ARGN})
    if(NOT arg_SOURCE)
        message(FATAL_ERROR "tegu_add_model(${name}): SOURCE is missing")
    endif()
    set(folder "${CMAKE_CURRENT_BINARY_DIR}/tegu/${name}")
    set(options ${arg_OPTIONS})
    if(arg_PIPELINE)
        list(APPEND options --pipeline "${arg_PIPELINE}")
    endif()
    if(arg_TARGET)
        list(APPEND options --target "${arg_TARGET}")
    endif()
    set(inputs "${arg_SOURCE}")
    if(IS_DIRECTORY "${arg_SOURCE}")
        file(GLOB inputs CONFIGURE_DEPENDS "${arg_SOURCE}/*")
    endif()
    add_custom_command(
        OUTPUT "${folder}/${name}.o"
        BYPRODUCTS "${folder}/${name}.h" "${folder}/${name}.weights"
        COMMAND "${TEGU_EXECUTABLE}" compile "${arg_SOURCE}"
            --name ${name} -o "${folder}" --quiet ${options}
        DEPENDS ${inputs} "${TEGU_EXECUTABLE}"
        COMMENT "Compiling model ${name}" VERBATIM)
    add_library(${name} STATIC "${folder}/${name}.o")
    set_target_properties(${name} PROPERTIES
        LINKER_LANGUAGE C TEGU_WEIGHTS "${folder}/${name}.weights")
    target_include_directories(${name} INTERFACE "${folder}")
endfunction()
