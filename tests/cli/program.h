// Runs the built program, for tests of what only a process can show: exit statuses, signals,
// standard output.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file_map.h"

namespace hadal::test {

class Program {
  public:
    /// Starts `hadal words…`; its output goes to files in `folder`.
    Program(const std::filesystem::path& folder, std::vector<std::string> words)
        : out_(folder / "stdout"), err_(folder / "stderr") {
        words.insert(words.begin(), HADAL_BINARY);
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t files;
        posix_spawn_file_actions_init(&files);
        constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out_.c_str(), kFlags, 0600);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err_.c_str(), kFlags, 0600);
        REQUIRE(posix_spawn(&process_, HADAL_BINARY, &files, nullptr, arguments.data(), environ) ==
                0);
        posix_spawn_file_actions_destroy(&files);
    }

    void send(int signal) const {
        ::kill(process_, signal);
    }
    /// Exit status, or 128 + the signal that ended it.
    int wait() const {
        int status = 0;
        REQUIRE(::waitpid(process_, &status, 0) == process_);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::string out() const {
        return read_file(out_);
    }
    std::string err() const {
        return read_file(err_);
    }

  private:
    std::filesystem::path out_, err_;
    pid_t process_ = 0;
};

}  // namespace hadal::test
