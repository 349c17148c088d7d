# What `cmake --install` puts in place: the program, the runtime archive and
# header, the CMake package with tegu_add_model(), the pkg-config file, the man
# page and the bash completion (both printed by the program itself).
include(CMakePackageConfigHelpers)

install(TARGETS tegu RUNTIME)
set_target_properties(tegu_runtime PROPERTIES EXPORT_NAME runtime)
target_include_directories(tegu_runtime PUBLIC
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS tegu_runtime EXPORT teguTargets ARCHIVE)
install(FILES include/tegu/runtime.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tegu)

set(tegu_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tegu)
install(EXPORT teguTargets NAMESPACE tegu:: DESTINATION ${tegu_package_dir})
configure_package_config_file(cmake/teguConfig.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/teguConfig.cmake
    INSTALL_DESTINATION ${tegu_package_dir}
    PATH_VARS CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(
    ${CMAKE_CURRENT_BINARY_DIR}/teguConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/teguConfig.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/teguConfigVersion.cmake
    cmake/TeguAddModel.cmake
    DESTINATION ${tegu_package_dir})

# The prefix is found from where the file lies, so that an installation can be
# moved.
file(RELATIVE_PATH tegu_pc_prefix
    "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/tegu.pc.in tegu.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tegu.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

foreach(page man bash)
    add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/tegu.${page}
        COMMAND tegu help --${page} > ${CMAKE_CURRENT_BINARY_DIR}/tegu.${page}
        DEPENDS tegu VERBATIM)
endforeach()
add_custom_target(tegu_pages ALL DEPENDS
    ${CMAKE_CURRENT_BINARY_DIR}/tegu.man ${CMAKE_CURRENT_BINARY_DIR}/tegu.bash)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tegu.man
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME tegu.1)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tegu.bash
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    RENAME tegu)
