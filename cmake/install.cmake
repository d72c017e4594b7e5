# install.cmake - headers, libraries, the command, roma.pc and the CMake package.
#
# Everything finds everything else by relative paths, so an installed tree may be moved.

include(CMakePackageConfigHelpers)

install(FILES include/roma.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/roma DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(TARGETS roma_shared roma_static EXPORT roma
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET roma_malloc)
    install(TARGETS roma_malloc LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR
           BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR} OUTPUT_VARIABLE roma_lib_from_bin)
if(TARGET roma_tool)
    set_target_properties(roma_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${roma_lib_from_bin}")
    install(TARGETS roma_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# ---- pkg-config ---------------------------------------------------------------------------------

set(roma_pc_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
           BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE roma_pc_prefix)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR
           BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE roma_pc_libdir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR
           BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE roma_pc_includedir)
set(roma_pc_requires_private "")
if(ROMA_HAS_LIBURING)
    set(roma_pc_requires_private liburing)
endif()
configure_file(cmake/roma.pc.in roma.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/roma.pc DESTINATION ${roma_pc_folder})

# ---- CMake package ------------------------------------------------------------------------------

set(roma_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/roma)
configure_package_config_file(cmake/romaConfig.cmake.in romaConfig.cmake
                              INSTALL_DESTINATION ${roma_package_folder})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(romaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/romaConfig.cmake ${PROJECT_BINARY_DIR}/romaConfigVersion.cmake
        DESTINATION ${roma_package_folder})
install(EXPORT roma NAMESPACE roma:: FILE romaTargets.cmake DESTINATION ${roma_package_folder})
