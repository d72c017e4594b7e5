# compile.cmake - how the project's own code is compiled: warnings, sanitizers, fuzzing.
#
# Sanitizers are a property of a whole build (every object and program of it), so they are set for
# the directory and all below it; warnings are set for a target of ours, never for others' code.

if(ROMA_SANITIZE)
    add_compile_options(-fsanitize=${ROMA_SANITIZE} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer -g)
    add_link_options(-fsanitize=${ROMA_SANITIZE})
endif()

if(ROMA_BUILD_FUZZERS)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "ROMA_BUILD_FUZZERS needs clang (libFuzzer); "
                            "the preset `fuzz` chooses it")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

set(roma_warnings -Wall -Wextra -Wshadow)
set(roma_c_warnings -Wstrict-prototypes -Wmissing-prototypes -Wvla)
# gcc with UBSan loses the range of a masked shift and warns of conversions that are none.
if(NOT (CMAKE_C_COMPILER_ID STREQUAL "GNU" AND ROMA_SANITIZE MATCHES "undefined"))
    list(APPEND roma_c_warnings -Wconversion)
endif()

# roma_compile_as_ours(target): the warnings that our code is written to.
function(roma_compile_as_ours target)
    target_compile_options(${target} PRIVATE
        ${roma_warnings}
        "$<$<COMPILE_LANGUAGE:C>:${roma_c_warnings}>"
        "$<$<BOOL:${ROMA_WERROR}>:-Werror>")
endfunction()
