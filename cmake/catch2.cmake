# catch2.cmake - the target roma_catch2, from Catch2 3 or 2, or no target when there is none.
#
# In a cross build the host's packages do not count, except for the header of Catch2 2, which is the
# same everywhere: it is linked into a folder of its own, since its neighbours in /usr/include
# belong to the host.

if(CMAKE_CROSSCOMPILING)
    find_path(ROMA_CATCH2_HEADER catch2/catch.hpp NO_CMAKE_FIND_ROOT_PATH)
    if(ROMA_CATCH2_HEADER)
        set(folder ${CMAKE_CURRENT_BINARY_DIR}/catch2-header)
        file(MAKE_DIRECTORY ${folder})
        file(CREATE_LINK ${ROMA_CATCH2_HEADER}/catch2 ${folder}/catch2 SYMBOLIC)
        add_library(roma_catch2 INTERFACE)
        target_include_directories(roma_catch2 SYSTEM INTERFACE ${folder})
    endif()
    return()
endif()

find_package(Catch2 3 QUIET)
if(NOT Catch2_FOUND)
    find_package(Catch2 2 QUIET)
endif()
if(Catch2_FOUND)
    add_library(roma_catch2 INTERFACE)
    target_link_libraries(roma_catch2 INTERFACE Catch2::Catch2)
else()
    find_path(ROMA_CATCH2_HEADER catch2/catch.hpp)
    if(ROMA_CATCH2_HEADER)
        add_library(roma_catch2 INTERFACE)
        target_include_directories(roma_catch2 SYSTEM INTERFACE ${ROMA_CATCH2_HEADER})
    endif()
endif()
