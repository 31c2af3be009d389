#include "conf/reload.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace turnout::conf {
namespace {

Config config_of(const std::vector<std::pair<std::string, Protocol>>& deployments) {
  Config config;
  config.file = "turnout.yaml";
  for (const auto& [name, protocol] : deployments) {
    Deployment deployment;
    deployment.name = name;
    deployment.protocol = protocol;
    config.deployments.push_back(deployment);
  }
  return config;
}

TEST(Reload, WhatAProcessIsBuiltAroundStays) {
  constexpr Protocol pg = Protocol::postgres, my = Protocol::mysql;
  const Config running = config_of({{"app", pg}, {"shop", my}});
  EXPECT_EQ(refused_by_reload(running, running), "");
  Config limits = running;
  limits.deployments[0].pool.size = 7;
  EXPECT_EQ(refused_by_reload(running, limits), "");
  constexpr const char* other_names =
      "turnout.yaml: deployments cannot be added, removed or reordered by a reload; restart for that";
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", pg}})), other_names);
  EXPECT_EQ(refused_by_reload(running, config_of({{"shop", my}, {"app", pg}})), other_names);
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", pg}, {"shop", my}, {"new", pg}})), other_names);
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", my}, {"shop", my}})),
            "turnout.yaml: deployments.app.protocol: cannot be changed from postgres to mysql by a reload; restart for "
            "that");
  EXPECT_EQ(refused_by_reload(running, config_of({{"app", my}, {"shop", pg}})),
            "turnout.yaml: deployments.app.protocol: cannot be changed from postgres to mysql by a reload; restart for "
            "that\n"
            "turnout.yaml: deployments.shop.protocol: cannot be changed from mysql to postgres by a reload; restart "
            "for that");
}

TEST(Reload, NoSocketMovesAndNoThreadIsAdded) {
  const Config running = config_of({{"app", Protocol::postgres}});
  Config fresh = running;
  fresh.deployments[0].listen = {{"0.0.0.0", 6432, {}}, {"", 0, "/run/turnout.sock"}};
  EXPECT_EQ(refused_by_reload(running, fresh),
            "turnout.yaml: deployments.app.listen: cannot be changed from [] to [0.0.0.0:6432, " +
                fresh.deployments[0].listen[1].text() + "] by a reload; restart for that");
  fresh = running;
  fresh.workers = 7;
  EXPECT_EQ(refused_by_reload(running, fresh),
            "turnout.yaml: workers: cannot be changed from 0 to 7 by a reload; restart for that");
  fresh = running;
  fresh.control.listen = {"127.0.0.1", 6481, {}};
  fresh.control.state_dir = "/elsewhere";
  EXPECT_EQ(refused_by_reload(running, fresh),
            "turnout.yaml: control.listen: cannot be changed from " + running.control.listen.text() +
                " to 127.0.0.1:6481 by a reload; restart for that\n"
                "turnout.yaml: control.state_dir: cannot be changed from /var/lib/turnout to /elsewhere by a reload; "
                "restart for that");
}

}  // namespace
}  // namespace turnout::conf
