# malloc.cmake - libroma_malloc.so, the malloc to preload.
#
# It compiles the floors that it stands on for itself: with thread-local storage of the initial-exec
# model and with calls among them that nothing can take over, which a library that programs link may
# not have. What is not used is left out by the linker, so that the library is small and starts
# fast. It needs the C library alone.
#
# Left out where it has no meaning: under sanitizers, which bring a malloc of their own (there
# tests/concurrent/shim has its sources), and with C libraries other than glibc, whose behaviour it
# follows and whose structures it fills.

include(CheckSymbolExists)

set(CMAKE_REQUIRED_DEFINITIONS -D_GNU_SOURCE)
check_symbol_exists(__GLIBC__ features.h ROMA_HAS_GLIBC)
unset(CMAKE_REQUIRED_DEFINITIONS)

if(ROMA_SANITIZE OR ROMA_BUILD_FUZZERS)
    message(STATUS "roma: libroma_malloc.so is not built with sanitizers")
    return()
elseif(NOT ROMA_HAS_GLIBC)
    message(STATUS "roma: libroma_malloc.so is for glibc, and is not built")
    return()
endif()

set(malloc_folders
    src/base src/sys numa src/provider src/policy numa/arena src/heap src/malloc)
list(TRANSFORM malloc_folders APPEND "/*.c" OUTPUT_VARIABLE malloc_globs)
file(GLOB malloc_sources CONFIGURE_DEPENDS ${malloc_globs})

add_library(roma_malloc SHARED ${malloc_sources})
set_target_properties(roma_malloc PROPERTIES
    C_VISIBILITY_PRESET hidden
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/src/malloc/malloc.map)
target_include_directories(roma_malloc PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_compile_definitions(roma_malloc PRIVATE _GNU_SOURCE=)
# Optimized in every build: programs of all kinds run on it. No builtin malloc: the compiler would
# make calloc() of malloc() and memset(), inside calloc().
target_compile_options(roma_malloc PRIVATE
    -O2 -ftls-model=initial-exec -fno-semantic-interposition -ffunction-sections -fdata-sections
    -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free)
set_source_files_properties(src/malloc/new.c PROPERTIES COMPILE_OPTIONS -fexceptions)
target_link_options(roma_malloc PRIVATE
    "LINKER:--version-script=${PROJECT_SOURCE_DIR}/src/malloc/malloc.map"
    LINKER:-z,defs LINKER:-z,now LINKER:-z,relro LINKER:--gc-sections LINKER:-O1
    LINKER:--as-needed LINKER:--hash-style=gnu)
target_link_libraries(roma_malloc PRIVATE Threads::Threads)
roma_compile_as_ours(roma_malloc)
