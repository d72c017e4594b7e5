# tool.cmake - the `roma` command: src/tool/*.c over the shared library and json-c.

file(GLOB roma_tool_sources CONFIGURE_DEPENDS src/tool/*.c)
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(JSONC QUIET IMPORTED_TARGET json-c)
endif()

if(NOT roma_tool_sources)
    message(STATUS "roma: no sources of the tool")
elseif(NOT JSONC_FOUND)
    message(STATUS "roma: json-c not found, the roma command is not built")
else()
    add_executable(roma_tool ${roma_tool_sources})
    # In bin/ because the library's folder also holds names that begin with `roma`.
    set_target_properties(roma_tool PROPERTIES
        OUTPUT_NAME roma
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
    target_compile_definitions(roma_tool PRIVATE _GNU_SOURCE=)
    target_link_libraries(roma_tool PRIVATE roma_shared PkgConfig::JSONC Threads::Threads)
    roma_compile_as_ours(roma_tool)
endif()
